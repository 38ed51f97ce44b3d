import { EtcdError } from '../../../server/base/errors.ts';
import { exitStatusOf } from '../../../server/member/failures.ts';
import type { Replica } from '../../../server/member/replica.ts';
import { LocalCluster, readReplica } from './local-replica.ts';
import type { View } from './view.ts';

// Opens damaged data directories in a process of its own, since LevelDB ends the process now and then.

/** A damaged data directory, and the whole ones of the other members. Nobody has opened them before. */
export interface Task {
  readonly damaged: string;
  readonly peers: readonly string[];
}

/** What became of one damaged directory. */
export type Outcome =
  | { readonly kind: 'read'; readonly view: View }
  | { readonly kind: 'refused'; readonly status: number; readonly message: string };

const readTimeoutMs = 20_000;

async function outcomeOf({ damaged, peers }: Task): Promise<Outcome> {
  const cluster = new LocalCluster();
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const open: Replica[] = [];
  try {
    for (const directory of [damaged, ...peers]) open.push(await cluster.open(directory, fail));
    const [replica, peer] = open;
    if (replica === undefined) throw new Error('nothing was opened');
    // There need not be an election timeout in every one of a thousand trials.
    peer?.raft.campaign();
    const read = await Promise.race([readWithin(replica, readTimeoutMs), failed]);
    if (read instanceof Error) throw read;
    await Promise.all(open.map((member) => cluster.close(member)));
    return { kind: 'read', view: read };
  } catch (error) {
    for (const member of open) cluster.forget(member);
    return { kind: 'refused', status: exitStatusOf(error), message: String(error) };
  }
}

/** The members may take a while to agree on a leader. */
async function readWithin(replica: Replica, timeoutMs: number): Promise<View> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await readReplica(replica);
    } catch (error) {
      if (!(error instanceof EtcdError) || performance.now() > deadline) throw error;
    }
  }
}

process.on('message', (task: Task) => {
  void outcomeOf(task).then((outcome) => process.send?.(outcome));
});
