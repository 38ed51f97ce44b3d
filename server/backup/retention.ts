/** How many backups are kept of each kind; 0: none for that reason. */
export interface Retention {
  readonly last: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  /** Of the IANA database: where days, weeks (from Monday on) and months begin. */
  readonly timeZone: string;
}

export interface RetainedBackup {
  readonly name: string;
  /** When it was taken, milliseconds since the epoch. */
  readonly takenMs: number;
  readonly verified: 'yes' | 'no' | 'never';
}

export type KeepReason = 'last' | 'daily' | 'weekly' | 'monthly' | 'last good' | 'last verified';

export interface Decision<T> {
  readonly backup: T;
  /** Why it is kept; empty: it is not. */
  readonly reasons: readonly KeepReason[];
}

/**
 * What is kept, and why. `backups`: oldest first. Of each of the newest days (weeks, months) that have a backup the last
 * one is kept. Backups that were found damaged do not count; those among the last ones stay to be looked at. The last good
 * one and the last verified one stay, whatever the numbers say.
 */
export function retained<T extends RetainedBackup>(
  backups: readonly T[],
  retention: Retention,
): Decision<T>[] {
  const reasons = new Map<T, KeepReason[]>(backups.map((backup) => [backup, []]));
  const keep = (backup: T | undefined, reason: KeepReason): void => {
    if (backup !== undefined) reasons.get(backup)?.push(reason);
  };
  const good = backups.filter(({ verified }) => verified !== 'no');
  const oldestOfLast = retention.last > 0 ? (good.at(-retention.last) ?? backups[0]) : undefined;
  if (oldestOfLast !== undefined) {
    for (const each of backups.slice(backups.indexOf(oldestOfLast))) keep(each, 'last');
  }
  const dayOf = dayIn(retention.timeZone);
  const periods = [
    ['daily', (day: Day) => `${day.year}-${day.month}-${day.day}`],
    ['weekly', weekOf],
    ['monthly', (day: Day) => `${day.year}-${day.month}`],
  ] as const;
  for (const [reason, periodOf] of periods) {
    const newest = newestOfEach(good, (backup) => periodOf(dayOf(backup.takenMs)));
    if (retention[reason] > 0) {
      for (const each of newest.slice(0, retention[reason])) keep(each, reason);
    }
  }
  keep(good.at(-1), 'last good');
  keep(
    backups.findLast(({ verified }) => verified === 'yes'),
    'last verified',
  );
  return backups.map((backup) => ({ backup, reasons: reasons.get(backup) ?? [] }));
}

/** The last backup of each period, the newest period first. */
function newestOfEach<T>(backups: readonly T[], periodOf: (backup: T) => string): T[] {
  const newest = new Map<string, T>();
  for (const backup of backups.toReversed()) {
    const period = periodOf(backup);
    if (!newest.has(period)) newest.set(period, backup);
  }
  return [...newest.values()];
}

interface Day {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

function dayIn(timeZone: string): (ms: number) => Day {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
  });
  return (ms) => {
    const parts = format.formatToParts(ms);
    const number = (type: 'year' | 'month' | 'day'): number =>
      Number(parts.find((part) => part.type === type)?.value);
    return { year: number('year'), month: number('month'), day: number('day') };
  };
}

/** The Monday that the week begins with. */
function weekOf({ year, month, day }: Day): string {
  const date = Date.UTC(year, month - 1, day);
  const sinceMonday = (new Date(date).getUTCDay() + 6) % 7;
  return new Date(date - sinceMonday * 86_400_000).toISOString().slice(0, 10);
}

/** Whether days can be told there. */
export function isTimeZone(name: string): boolean {
  try {
    dayIn(name);
    return true;
  } catch {
    return false;
  }
}
