import { quorumOf } from '../../../operator/resources/budget.ts';
import { memberIdAnnotation } from '../../../operator/resources/labels.ts';
import type { SeededRandom } from '../../sim/random.ts';
import type { FakeMember } from '../support/fake-store.ts';
import { isNodeReady } from './children.ts';
import type { World } from './world.ts';

// What people and the world do to a store at random. Each says what it did, undefined when it could not. Never so much
// is lost that no operator could bring it back: that a person has to decide, and scenarios have it.

type Disturbance = (world: World, random: SeededRandom) => string | undefined;

type Changes = Readonly<Record<string, unknown>>;

function edit(changes: Changes): Disturbance {
  return (world) => doEdit(world, changes);
}

function doEdit(world: World, changes: Changes): string | undefined {
  if (world.cluster === undefined) return undefined;
  world.edit(changes);
  return JSON.stringify(changes);
}

function oneOf(...choices: readonly Disturbance[]): Disturbance {
  return (world, random) => random.pick(choices)(world, random);
}

/** One of the members that there are. */
function toMember(effect: (world: World, name: string) => void): Disturbance {
  return (world, random) => {
    const names = world.pods().map(({ metadata }) => metadata.name);
    if (names.length === 0) return undefined;
    const name = random.pick(names);
    effect(world, name);
    return name;
  };
}

function toNode(effect: (world: World, name: string) => void): Disturbance {
  return (world, random) => {
    const { name } = random.pick(world.nodes()).metadata;
    effect(world, name);
    return name;
  };
}

/** To the data of one voter, while so many others have theirs that nothing acknowledged is lost. */
function toData(effect: (world: World, name: string) => void): Disturbance {
  return (world, random) => {
    const voters = world.store()?.voters() ?? [];
    const sound = voters.filter((voter) => hasData(world, voter));
    const isSafe = voters.length >= 3 && sound.length - 1 >= quorumOf(voters.length);
    if (!isSafe || sound.length < voters.length) return undefined;
    const { name } = random.pick(sound);
    effect(world, name);
    return name;
  };
}

function hasData(world: World, { id, name }: FakeMember): boolean {
  const volume = world.volume(name);
  const disk = world.storage.disk(volume);
  const isKept = volume?.metadata.deletionTimestamp === undefined;
  const isDoubted = world
    .store()
    ?.alarms.some(({ memberId, kind }) => memberId === id && kind === 'CORRUPT');
  return isKept && disk?.memberId === id && !disk.isDamaged && isDoubted !== true;
}

const mebibyte = 1024 ** 2;

export const disturbances: Readonly<Record<string, Disturbance>> = {
  scale: (world, random) => doEdit(world, { replicas: 1 + random.below(5) }),
  observers: oneOf(
    edit({ observers: { replicas: 0 } }),
    edit({ observers: { replicas: 1 } }),
    edit({ observers: { replicas: 2, resources: { requests: { cpu: '1' } } } }),
    edit({ observers: undefined }),
  ),
  version: oneOf(
    edit({ version: '0.1.0' }),
    edit({ version: '0.2.0' }),
    edit({ version: '7.0.0' }),
  ),
  restart: (world, random) => {
    const surge = random.chance(0.4);
    return doEdit(world, { update: { surge, restart: String(random.below(1_000)) } });
  },
  option: oneOf(
    edit({ options: { snapshotCount: 1_000 } }),
    edit({ options: { snapshotCount: 666 } }),
    edit({ options: undefined }),
  ),
  image: (world, random) => {
    if (world.cluster?.spec.version !== undefined) return undefined;
    return doEdit(world, { image: random.pick([undefined, 'mainstay:bad', 'mainstay:0.2.0']) });
  },
  placement: oneOf(
    edit({ placement: { nodeSelector: { disk: 'solid' } } }),
    edit({ placement: undefined }),
  ),
  resources: oneOf(
    edit({ resources: { requests: { cpu: '64' } } }),
    edit({ resources: { requests: { cpu: '1' } } }),
  ),
  size: (world) => {
    const { size } = world.cluster?.spec.storage ?? { size: '4Gi' };
    const next = { '1Gi': '2Gi', '2Gi': '4Gi' }[size];
    return next === undefined ? undefined : doEdit(world, { storage: { size: next } });
  },
  pause: oneOf(edit({ paused: true }), edit({ paused: undefined })),
  budget: oneOf(edit({ disruptionBudget: 'Disabled' }), edit({ disruptionBudget: undefined })),
  podLost: toMember((world, name) => world.deletePod(name)),
  podEvicted: (world, random) => {
    const pods = world.pods();
    if (pods.length === 0) return undefined;
    const pod = random.pick(pods);
    return `${pod.metadata.name}: ${world.evict(pod) ?? 'evicted'}`;
  },
  processHangs: toMember((world, name) => world.mute(name)),
  processesHeal: (world) => {
    world.kubelet.heal();
    return '';
  },
  volumeLost: toData((world, name) => world.deleteVolume(name)),
  diskEmptied: toData((world, name) => world.emptyDisk(name)),
  diskDamaged: toData((world, name) => world.damageDisk(name)),
  dataDiffers: toData((world, name) => {
    const id = world.member(name)?.id;
    if (id !== undefined) world.store()?.alarms.push({ memberId: id, kind: 'CORRUPT' });
  }),
  /** Writes over the same keys: their history fills the database. */
  full: (world) => {
    const store = world.store();
    const leader = store?.member(store.leaderId);
    if (store === undefined || leader === undefined || store.alarms.length > 0) return undefined;
    store.historyBytes = 600 * mebibyte;
    store.revision += 1_000;
    leader.applied += 1_000;
    return '';
  },
  load: (world, random) => {
    const store = world.store();
    if (store === undefined) return undefined;
    store.entriesPerTurn = random.pick([0, 50, 3_000]);
    return String(store.entriesPerTurn);
  },
  cordon: toNode((world, name) => world.cordon(name)),
  drain: toNode((world, name) => world.drain(name)),
  nodeBack: toNode((world, name) => world.startNode(name)),
  nodeDead: (world, random) => {
    const dead = world.nodes().filter((node) => !isNodeReady(node));
    return dead.length > 0 ? undefined : toNode((_, name) => world.stopNode(name))(world, random);
  },
  nodeGone: (world, random) => {
    if (world.nodes().length < 5) return undefined;
    return toNode((_, name) => world.removeNode(name))(world, random);
  },
  removedByHand: (world, random) => {
    const store = world.store();
    const followers = store?.members.filter(({ id }) => id !== store.leaderId) ?? [];
    if (store === undefined || followers.length === 0 || store.leaderId === '0') return undefined;
    const { id, name, peerUrl } = random.pick(followers);
    const left = store.runningVoters().filter((voter) => voter.id !== id).length;
    const voters = store.voters().filter((voter) => voter.id !== id).length;
    if (!store.hasQuorum() || left < quorumOf(voters)) return undefined;
    store.commit(() => store.remove(id));
    // Between joining and the record of its id nobody can know that it ever joined: its name may join again.
    store.peerUrls.delete(peerUrl);
    return name;
  },
  statusLost: (world) => {
    const isKnown = world
      .volumes()
      .some(({ metadata }) => metadata.annotations?.[memberIdAnnotation] !== undefined);
    // Before a volume names its member, nothing but the status tells of the store.
    if (!isKnown) return undefined;
    world.forgetStatus();
    // Of names that stand nowhere else, nobody can know that they were used.
    for (const store of world.storage.stores.values()) store.peerUrls.clear();
    return '';
  },
};

/** Everything is as it should be again but what is lost; nobody wants what cannot be. */
export function healEverything(world: World): void {
  world.kubelet.heal();
  for (const { metadata } of world.nodes()) world.startNode(metadata.name);
  for (const store of world.storage.stores.values()) store.entriesPerTurn = 0;
  if (world.cluster === undefined) return;
  const isKnown = world.cluster.spec.version !== '7.0.0';
  world.edit({
    paused: undefined,
    image: undefined,
    options: undefined,
    resources: undefined,
    placement: undefined,
    disruptionBudget: undefined,
    ...(isKnown ? {} : { version: '0.2.0' }),
  });
}
