import {
  bounds,
  empty,
  type FieldCase,
  flag,
  noObject,
  noText,
  pattern,
  sourceCases,
  tooLong,
  wrongChoice,
  x,
} from './field-cases.ts';

// Every field of StoreBackup and StoreBackupSchedule, as `field-cases.ts` has those of StoreCluster.

const target = { volume: { claimName: 'backups' } };
/** The smallest spec of a StoreBackup. */
export const minimalBackup = { cluster: 'demo', target };
/** And of a StoreBackupSchedule. */
export const minimalSchedule = { ...minimalBackup, schedule: '0 3 * * *' };

const noInteger = /must be of type integer/;

/** A whole number from one to another. */
function whole(min: number, max: number): FieldCase {
  return {
    valid: Math.ceil((min + max) / 2),
    edge: [min, max],
    invalid: [
      [min - 1, bounds],
      [max + 1, bounds],
      ['1', noInteger],
    ],
  };
}

/** Where backups are and their key: as a restore has them, at the top. */
const common: Readonly<Record<string, FieldCase>> = {
  cluster: {
    valid: 'demo',
    edge: ['d', x(40)],
    invalid: [
      ['', empty],
      [x(41), tooLong],
      [1, noText],
    ],
  },
  ...Object.fromEntries(
    Object.entries(sourceCases('', (beside) => ({ ...beside })))
      .map(([path, each]) => [path.slice(1), each] as const)
      .filter(([path]) => /^(target|encryption)/.test(path)),
  ),
};

export const backupFieldCases: Readonly<Record<string, FieldCase>> = {
  ...common,
  verify: flag,
};

const kept = (field: string): FieldCase => ({
  ...whole(0, 1_000),
  beside: { keep: field === 'last' ? { daily: 1 } : { last: 1 } },
});

export const scheduleFieldCases: Readonly<Record<string, FieldCase>> = {
  ...common,
  schedule: {
    valid: '*/5 1-3 * JAN,JUL MON',
    edge: ['@hourly', '@monthly', '* * * * *', `${x(120)} * * * *`],
    invalid: [
      ['', empty],
      [`${x(121)} * * * *`, tooLong],
      ['* * * *', pattern],
      ['0 * * * * *', pattern],
      ['@reboot', pattern],
      ['every hour', pattern],
    ],
  },
  timeZone: {
    valid: 'Europe/Berlin',
    edge: ['UTC', 'Etc/GMT+5', 'America/Argentina/Buenos_Aires', x(64)],
    invalid: [
      ['', empty],
      [x(65), tooLong],
      ['Europe/', pattern],
      ['+ 02:00', pattern],
    ],
  },
  jitterSeconds: whole(0, 86_400),
  startingDeadlineSeconds: whole(10, 604_800),
  concurrency: { valid: 'Forbid', edge: ['Allow'], invalid: [['Replace', wrongChoice]] },
  suspend: flag,
  immediate: flag,
  verifyEvery: whole(0, 1_000),
  keep: {
    valid: { last: 3, daily: 7, weekly: 4, monthly: 12 },
    edge: [{ last: 0 }, { monthly: 1 }],
    invalid: [
      [{}, /keep must say what is kept: give last, daily, weekly or monthly/],
      [3, noObject],
    ],
  },
  'keep.last': kept('last'),
  'keep.daily': kept('daily'),
  'keep.weekly': kept('weekly'),
  'keep.monthly': kept('monthly'),
  archive: { valid: { intervalSeconds: 10 }, edge: [{}], invalid: [[true, noObject]] },
  'archive.intervalSeconds': whole(1, 3_600),
};

/** What a spec must not lack. */
export const requiredOf: Readonly<
  Record<'StoreBackup' | 'StoreBackupSchedule', readonly string[]>
> = {
  StoreBackup: ['cluster', 'target'],
  StoreBackupSchedule: ['cluster', 'schedule', 'target'],
};

/** Edits of objects that are there: taken when there is no sentence. */
export const backupEdits: readonly (readonly [
  kind: 'StoreBackup' | 'StoreBackupSchedule',
  title: string,
  after: object,
  sentence?: RegExp,
])[] = [
  [
    'StoreBackup',
    'the target of a backup',
    { target: { volume: { claimName: 'b' } } },
    /spec of a StoreBackup cannot change.*make another one/,
  ],
  ['StoreBackup', 'whether it is verified', { verify: false }, /cannot change/],
  [
    'StoreBackupSchedule',
    'everything of a schedule',
    { cluster: 'other', schedule: '@daily', suspend: true, target: { volume: { claimName: 'b' } } },
  ],
];
