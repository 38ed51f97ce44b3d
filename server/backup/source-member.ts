import { setTimeout as sleep } from 'node:timers/promises';
import { hexId } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { ClientError } from '../client/errors.ts';
import { oneKey } from '../client/keys.ts';
import type { StatusResponse } from '../proto/gen/rpc.ts';
import { BackupError } from './failure.ts';

/** The member that a snapshot is taken from. */
export interface SourceMember {
  readonly endpoint: string;
  /** Hex. */
  readonly id: string;
  readonly role: 'follower' | 'leader' | 'learner' | 'observer';
  /** Of the store, hex. */
  readonly clusterId: string;
  /** What was acknowledged before the question is in its snapshot: it has this revision at least. */
  readonly revision: number;
}

const statusTimeoutMs = 3_000;
const catchUpMsMax = 15_000;
const catchUpStepMs = 100;
/** A follower further behind is busy enough. */
const behindEntriesMax = 5_000;

/**
 * Chooses whom to ask: a follower that is well and not far behind, or an observer, so that the leader has its time for
 * clients; else the leader. Waits until it has applied all that was acknowledged before. With one endpoint the members are looked for.
 */
export async function sourceMember(client: Client): Promise<SourceMember> {
  try {
    const { header } = await client.range(oneKey('\0'), { limit: 1 });
    const endpoints = await endpointsOf(client);
    const found = await Promise.all(endpoints.map((endpoint) => memberAt(client, endpoint)));
    const members = found.filter((member) => member !== undefined);
    const best = members.toSorted((a, b) => rank(a) - rank(b))[0];
    if (best === undefined) throw unreachable(`no member answers at ${endpoints.join(', ')}`);
    await waitFor(client, best.endpoint, header.revision);
    const { status, endpoint } = best;
    return {
      endpoint,
      id: hexId(status.header?.memberId ?? 0n),
      clusterId: hexId(status.header?.clusterId ?? 0n),
      role: roleOf(status),
      revision: header.revision,
    };
  } catch (error) {
    throw error instanceof ClientError ? unreachable(error.message, error) : error;
  }
}

interface AnsweringMember {
  readonly endpoint: string;
  readonly status: StatusResponse;
}

async function endpointsOf(client: Client): Promise<readonly string[]> {
  if (client.endpoints.length > 1) return client.endpoints;
  const { members } = await client.memberList({ linearizable: false });
  return [...new Set([...members.flatMap(({ clientURLs }) => clientURLs), ...client.endpoints])];
}

async function memberAt(client: Client, endpoint: string): Promise<AnsweringMember | undefined> {
  try {
    return { endpoint, status: await client.status(endpoint, { timeoutMs: statusTimeoutMs }) };
  } catch (error) {
    if (error instanceof ClientError) return undefined;
    throw error;
  }
}

/** Less is better. */
function rank({ status }: AnsweringMember): number {
  const isBehind = status.raftIndex - status.raftAppliedIndex > behindEntriesMax;
  const isIll = status.errors.length > 0 || status.leader === 0n || isBehind;
  return (isIll ? 10 : 0) + { follower: 0, observer: 1, leader: 2, learner: 3 }[roleOf(status)];
}

function roleOf(status: StatusResponse): SourceMember['role'] {
  const { isLearner, isObserver, leader, header } = status;
  if (isObserver) return 'observer';
  if (isLearner) return 'learner';
  return leader !== 0n && leader === header?.memberId ? 'leader' : 'follower';
}

async function waitFor(client: Client, endpoint: string, revision: number): Promise<void> {
  const deadline = performance.now() + catchUpMsMax;
  for (;;) {
    const { header } = await client.status(endpoint, { timeoutMs: statusTimeoutMs });
    if ((header?.revision ?? 0) >= revision) return;
    if (performance.now() > deadline) {
      throw unreachable(`${endpoint} does not catch up with revision ${revision}`);
    }
    await sleep(catchUpStepMs);
  }
}

export function unreachable(why: string, cause?: unknown): BackupError {
  return new BackupError(
    'ClusterUnreachable',
    `the cluster gives no snapshot: ${why}; check the endpoints, the credentials and that a majority is up`,
    { cause },
  );
}
