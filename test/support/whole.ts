import { needs } from './tools.ts';

/** `MAINSTAY_FULL=1`: every suite has its whole size, as in `.ci/run`; otherwise a sample, for `npm test` to be quick. */
export const isWhole = process.env['MAINSTAY_FULL'] === '1';

/** For a test that a quicker one stands for in `npm test`. */
export const onlyWhole = { skip: isWhole ? false : 'only with MAINSTAY_FULL=1' } as const;

/** For what is played on etcd too, only so that the test is known to be right. */
export const onOracle = isWhole ? needs('etcd') : onlyWhole;
