import type { LogIndex, MemberId } from '../base/ids.ts';
import type { ConfState } from './entry.ts';

/** A majority of the voters; an empty configuration has none, so it decides nothing. */
export function hasQuorum(conf: ConfState, holds: (member: MemberId) => boolean): boolean {
  let count = 0;
  for (const voter of conf.voters) if (holds(voter)) count += 1;
  return count > conf.voters.length / 2;
}

/** The highest index that a majority of the voters holds (paper §5.3, §5.4.2). Learners are not counted. */
export function quorumIndex(conf: ConfState, matchOf: (member: MemberId) => LogIndex): LogIndex {
  const matches = conf.voters.map(matchOf).sort((a, b) => b - a);
  return matches[Math.floor(matches.length / 2)] ?? 0;
}
