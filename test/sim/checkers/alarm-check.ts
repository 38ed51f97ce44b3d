import { demand } from './violation.ts';

/** One raising of an alarm, from its call on. Times are undefined while nobody was told. */
export interface RaisedAlarm {
  readonly askedAtMs: number;
  raisedAtMs: number | undefined;
  disarmAskedAtMs: number | undefined;
  disarmedAtMs: number | undefined;
}

/**
 * The NOSPACE alarm as its clients know it: a put from after it was raised to before anybody asked to disarm it must be
 * refused, and one at no time of which it can have been raised must not.
 */
export class AlarmCheck {
  readonly #alarms: RaisedAlarm[] = [];
  checks = 0;

  asked(nowMs: number): RaisedAlarm {
    const alarm: RaisedAlarm = {
      askedAtMs: nowMs,
      raisedAtMs: undefined,
      disarmAskedAtMs: undefined,
      disarmedAtMs: undefined,
    };
    this.#alarms.push(alarm);
    return alarm;
  }

  put(call: { readonly invokedAtMs: number; readonly answeredAtMs: number }): void {
    this.checks++;
    const alarm = this.#alarms.find((raised) => isSurelyRaised(raised, call));
    demand(alarm === undefined, () => {
      return `a put at ${call.invokedAtMs} ms was applied, but NOSPACE was raised at ${alarm?.raisedAtMs} ms`;
    });
  }

  refused(call: { readonly invokedAtMs: number; readonly answeredAtMs: number }): void {
    this.checks++;
    const isPossible = this.#alarms.some((raised) => isPerhapsRaised(raised, call));
    demand(isPossible, () => {
      return `a put at ${call.invokedAtMs} ms was refused for want of space, but no alarm was raised`;
    });
  }
}

type Span = { readonly invokedAtMs: number; readonly answeredAtMs: number };

function isSurelyRaised({ raisedAtMs, disarmAskedAtMs }: RaisedAlarm, call: Span): boolean {
  const endMs = disarmAskedAtMs ?? Number.POSITIVE_INFINITY;
  return raisedAtMs !== undefined && raisedAtMs <= call.invokedAtMs && call.answeredAtMs < endMs;
}

/** One whose raising was not answered may be raised at any later time. */
function isPerhapsRaised(alarm: RaisedAlarm, call: Span): boolean {
  const isOver = alarm.raisedAtMs !== undefined && alarm.disarmedAtMs !== undefined;
  const endMs = isOver ? (alarm.disarmedAtMs ?? 0) : Number.POSITIVE_INFINITY;
  return alarm.askedAtMs <= call.answeredAtMs && call.invokedAtMs <= endMs;
}
