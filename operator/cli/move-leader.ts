// [io] `kubectl mainstay move-leader`.
import { setTimeout as sleep } from 'node:timers/promises';
import type { MemberRecord, StoreCluster } from '../api/types.ts';
import type { HttpKubeClient } from '../kube/client.ts';
import { hasNoVote } from '../observe/view.ts';
import { serialOf } from '../resources/names.ts';
import { PodGateway } from './pod-gateway.ts';

const pollMs = 200;
const pollsMax = 50;

/** What came of it, as a sentence. Throws with why not. */
export async function moveLeader(
  kube: HttpKubeClient,
  cluster: StoreCluster,
  wanted: string | undefined,
): Promise<string> {
  const leader = memberNamed(cluster, cluster.status?.leader);
  if (leader?.pod === undefined) {
    throw new Error('no leader is known: see "kubectl mainstay status"');
  }
  const target = wanted === undefined ? successorOf(cluster) : checkedTarget(cluster, wanted);
  if (target.name === leader.name) return `${leader.name} leads already.`;
  const gateway = new PodGateway(kube, cluster);
  await gateway.logIn(leader.pod);
  const targetID = decimal(target);
  await gateway.post(leader.pod, '/v3/maintenance/transfer-leadership', { targetID });
  for (let polls = 0; polls < pollsMax; polls += 1) {
    const { leader: present } = await gateway.post(
      target.pod ?? target.name,
      '/v3/maintenance/status',
      {},
    );
    if (present === targetID) return `${target.name} leads now; before it was ${leader.name}.`;
    await sleep(pollMs);
  }
  throw new Error(`${target.name} was asked to lead and does not: see "kubectl mainstay status"`);
}

function memberNamed(cluster: StoreCluster, name: string | undefined): MemberRecord | undefined {
  return cluster.status?.members?.find((member) => member.name === name);
}

/** As the operator chooses: a healthy voter, rather one that stays as it is, the lowest number. */
export function successorOf(cluster: StoreCluster): MemberRecord {
  const [best] = (cluster.status?.members ?? [])
    .filter(({ role, healthy }) => role === 'follower' && healthy)
    .toSorted(
      (a, b) =>
        Number(a.outdated ?? false) - Number(b.outdated ?? false) ||
        (serialOf(cluster, a.name) ?? 0) - (serialOf(cluster, b.name) ?? 0),
    );
  if (best === undefined)
    throw new Error('no other member is a healthy voter: nobody can take over');
  return best;
}

function checkedTarget(cluster: StoreCluster, name: string): MemberRecord {
  const member = memberNamed(cluster, name);
  if (member === undefined) {
    const names = (cluster.status?.members ?? []).map((each) => each.name).join(', ');
    throw new Error(`${name} is no member; members are ${names}`);
  }
  if (hasNoVote(member)) {
    throw new Error(
      `${name} is ${member.role === 'learner' ? 'a learner' : 'an observer'} and cannot lead`,
    );
  }
  if (member.role === 'none') throw new Error(`${name} is not in the store yet, or not any more`);
  if (!member.healthy) throw new Error(`${name} is not healthy: it could not take over`);
  return member;
}

/** As the gateway writes ids. */
function decimal({ id = '0' }: MemberRecord): string {
  return BigInt(`0x${id}`).toString();
}
