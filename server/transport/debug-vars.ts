import { memoryUsage } from 'node:process';
import type { MemberPort } from '../api/member-port.ts';
import { hexId } from '../base/ids.ts';

/** `/debug/vars`: what etcd publishes there, as far as it is not Go's own. */
export function debugVars(port: MemberPort): string {
  const { leader, isLeader, isLearner, term, commitIndex, appliedIndex } = port.raftStatus();
  const memory = memoryUsage();
  const vars = {
    cmdline: process.argv,
    memstats: { Alloc: memory.heapUsed, HeapSys: memory.heapTotal, Sys: memory.rss },
    'raft.status': {
      id: hexId(port.memberId),
      term,
      commit: commitIndex,
      applied: appliedIndex,
      lead: hexId(leader),
      raftState: isLeader ? 'StateLeader' : isLearner ? 'StateLearner' : 'StateFollower',
    },
  };
  return `${JSON.stringify(vars, undefined, 1)}\n`;
}
