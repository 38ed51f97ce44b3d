import type { ClusterView } from '../observe/view.ts';
import type { Action } from './action.ts';

/** What a rule decides; `undefined` leaves the decision to the rules after it. */
export type Rule = (view: ClusterView) => Decision | undefined;

export type Decision =
  | {
      readonly kind: 'act';
      readonly action: Action;
      /** One CamelCase word: the event's reason. */
      readonly reason: string;
      readonly message: string;
    }
  | {
      readonly kind: 'wait';
      /** One CamelCase word. */
      readonly reason: string;
      /** A sentence for a person: what is awaited, and what they can do if it does not come. */
      readonly message: string;
      /** A wait that lasts longer is reported as stuck. Without it nothing but a person ends the wait. */
      readonly limitMs: number | undefined;
    };

export function act(reason: string, message: string, action: Action): Decision {
  return { kind: 'act', action, reason, message };
}

export function waitFor(reason: string, message: string, limitMs: number): Decision {
  return { kind: 'wait', reason, message, limitMs };
}

/** Only a person can end this one. */
export function stopUntil(reason: string, message: string): Decision {
  return { kind: 'wait', reason, message, limitMs: undefined };
}
