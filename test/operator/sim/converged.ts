import { bytesOf } from '../../../operator/api/quantity.ts';
import { objectPath } from '../../../operator/kube/paths.ts';
import { isPodReady } from '../../../operator/observe/view.ts';
import { quorumOf } from '../../../operator/resources/budget.ts';
import {
  clusterUidLabel,
  memberIdAnnotation,
  roleLabel,
} from '../../../operator/resources/labels.ts';
import { observerSpec, observersWanted } from '../../../operator/resources/observers.ts';
import { isOutdated } from '../../../operator/resources/template.ts';
import type { FakeStore } from '../support/fake-store.ts';
import { key } from './children.ts';
import { specOf } from './invariants.ts';
import { isMirror } from './mirrors.ts';
import type { World } from './world.ts';

/** What is wrong with a store that should be as its spec wants it (O6, O10); nothing when all is right. */
export function wrongWith(world: World): string[] {
  const store = world.store();
  if (store === undefined) return ['O6: there is no store'];
  return [
    ...wrongMembers(world, store),
    ...wrongChildren(world, store),
    ...world.mirrors.wrong(),
    ...wrongStatus(world),
  ];
}

function wrongMembers(world: World, store: FakeStore): string[] {
  const { replicas } = specOf(world);
  const all = store.members.filter(({ peerUrl }) => peerUrl.includes('demo-'));
  const ours = all.filter(({ observer }) => !observer);
  const observers = all.filter(({ observer }) => observer);
  const wrong: string[] = [];
  const wanted = observersWanted(specOf(world));
  if (observers.length !== wanted) {
    wrong.push(`O6: ${observers.length} observers, wanted are ${wanted}`);
  }
  for (const { id, name } of observers) {
    if (!store.running.has(id)) wrong.push(`O6: the observer ${name} does not run`);
  }
  if (ours.length !== replicas) wrong.push(`O6: ${ours.length} members, wanted are ${replicas}`);
  for (const { id, name, learner } of ours) {
    if (learner) wrong.push(`O6: ${name} is still a learner`);
    if (!store.running.has(id)) wrong.push(`O6: ${name} does not run`);
  }
  if (store.alarms.length > 0) wrong.push(`O6: alarms are left: ${JSON.stringify(store.alarms)}`);
  if (store.leaderId === '0') wrong.push('O6: there is no leader');
  return wrong;
}

function wrongChildren(world: World, store: FakeStore): string[] {
  const { uid } = world.cluster?.metadata ?? {};
  const wrong: string[] = [];
  const names = store.members
    .filter(({ peerUrl }) => peerUrl.includes('demo-'))
    .map(({ name }) => name)
    .sort();
  const isOurs = ({ metadata }: { readonly metadata: { readonly labels?: object } }) =>
    (metadata.labels as Record<string, string> | undefined)?.[clusterUidLabel] === uid;
  const pods = world.pods().filter((pod) => isOurs(pod) && !isMirror(pod));
  const volumes = world.volumes().filter((volume) => isOurs(volume) && !isCopy(volume.metadata));
  const spec = specOf(world);
  if (podNames(pods) !== names.join())
    wrong.push(`O6: pods ${podNames(pods)} for members ${names}`);
  if (podNames(volumes) !== names.join())
    wrong.push(`O6: volumes ${podNames(volumes)} for members ${names}`);
  for (const pod of pods) {
    const { name, labels } = pod.metadata;
    if (!isPodReady(pod)) wrong.push(`O6: ${name} is not ready`);
    const isObserver = store.members.some((each) => each.name === name && each.observer);
    if (isOutdated(pod, isObserver ? observerSpec(spec) : spec))
      wrong.push(`O6: ${name} is not as the spec wants it`);
    if (labels?.[roleLabel] !== (isObserver ? 'observer' : 'voter'))
      wrong.push(`O6: ${name} is labelled ${labels?.[roleLabel]}`);
  }
  for (const { metadata, spec: claim } of volumes) {
    const member = store.members.find(({ name }) => name === metadata.name);
    if (metadata.annotations?.[memberIdAnnotation] !== member?.id)
      wrong.push(`O6: the volume ${metadata.name} names another member`);
    const size = claim.resources.requests['storage'] ?? '0';
    if (bytesOf(size) < bytesOf(spec.storage.size) && world.conditions.mayGrow)
      wrong.push(`O6: the volume ${metadata.name} has ${size}`);
  }
  const floor = quorumOf(Math.max(store.voters().length, spec.replicas));
  if (minAvailable(world) !== (spec.disruptionBudget === 'Disabled' ? undefined : floor))
    wrong.push(`O6: the budget keeps ${minAvailable(world)}`);
  return wrong;
}

/** O10: by the conditions that people wait for. */
function wrongStatus(world: World): string[] {
  const { replicas } = specOf(world);
  const wrong: string[] = [];
  if (world.status?.ready !== `${replicas}/${replicas}`)
    wrong.push(`O10: ready is ${world.status?.ready}`);
  const isRefused = world.status?.growthRefused !== undefined;
  const wanted = { Ready: 'True', Available: 'True', Progressing: 'False' };
  for (const [type, status] of Object.entries({
    ...wanted,
    Degraded: isRefused ? 'True' : 'False',
  })) {
    const condition = world.status?.conditions?.find((each) => each.type === type);
    if (condition?.status !== status)
      wrong.push(`O10: ${type} is ${condition?.status}: ${condition?.message}`);
  }
  return [...wrong, ...untruths(world)];
}

/** O10, at any moment: what the status says of members and their leader is how they are. */
export function untruths(world: World): string[] {
  const { status } = world;
  const store = world.store();
  const isServing = store !== undefined && store.running.has(store.leaderId) && store.hasQuorum();
  const available = status?.conditions?.find(({ type }) => type === 'Available')?.status;
  const wrong: string[] = [];
  if ((available === 'True') !== isServing && !isUnreachable(world, store))
    wrong.push(`O10: Available is ${available}, the store is ${isServing ? '' : 'not '}serving`);
  if (!isServing) return wrong;
  const leader = store.member(store.leaderId)?.name;
  if (available === 'True' && status?.leader !== leader)
    wrong.push(`O10: the leader is ${leader}, the status says ${status?.leader}`);
  for (const { name, healthy, role } of status?.members ?? []) {
    const member = store.members.find((each) => each.name === name);
    const pod = world.pod(name);
    const isHealthy =
      member !== undefined && store.running.has(member.id) && pod !== undefined && isPodReady(pod);
    if (healthy && !isHealthy) wrong.push(`O10: ${name} is not healthy, the status says it is`);
    if (role === 'leader' && name !== leader) wrong.push(`O10: ${name} does not lead`);
  }
  return wrong;
}

/** A store that serves, but not through any pod of ours. */
function isUnreachable(world: World, store: FakeStore | undefined): boolean {
  return !world.pods().some((pod) => world.kubelet.memberOf(pod)?.store === store);
}

function minAvailable(world: World): number | undefined {
  const budget = world.kube.read(objectPath('PodDisruptionBudget', key));
  return (budget?.['spec'] as { readonly minAvailable?: number } | undefined)?.minAvailable;
}

function podNames(children: readonly { readonly metadata: { readonly name: string } }[]): string {
  return children
    .map(({ metadata }) => metadata.name)
    .sort()
    .join();
}

function isCopy({ name }: { readonly name: string }): boolean {
  return name.endsWith('-copy');
}
