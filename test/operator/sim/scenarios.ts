import assert from 'node:assert/strict';
import type { StoreClusterSpec } from '../../../operator/api/types.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { roleLabel } from '../../../operator/resources/labels.ts';
import type { Stored } from '../support/fake-kube.ts';
import { key } from './children.ts';
import type { Scenario, Step } from './run.ts';
import type { World } from './world.ts';

// The life of a store in named pieces: how it begins, what people and the world do, and how it must end.

type Edit = (world: World) => void;

function create(spec: Partial<StoreClusterSpec> = {}): Step {
  return { edit: (world) => world.createCluster(spec) };
}

/** Does it, and waits until the operator has nothing more to do. */
function then(edit: Edit): Step {
  return { edit };
}

/** Does it, and goes on as soon as something is so. */
function half(edit: Edit, until: (world: World) => boolean): Step {
  return { edit, until };
}

function spec(changes: Partial<Record<keyof StoreClusterSpec, unknown>>): Step {
  return then((world) => world.edit(changes));
}

function scale(replicas: number): Step {
  return spec({ replicas });
}

/** Of that reason the operator waits. */
function waitsFor(...reasons: readonly string[]) {
  return (world: World) => reasons.includes(world.status?.plan?.reason ?? '');
}

/** The operator has seen that a container cannot be started. */
function isStuck({ status }: World): boolean {
  return status?.plan?.decision === 'Wait' && status.plan.message.includes('ImagePullBackOff');
}

function ofVersion(version: string) {
  return ({
    spec: { containers },
  }: {
    readonly spec: { readonly containers: readonly { readonly image: string }[] };
  }) => containers[0]?.image.endsWith(`:${version}`) === true;
}

function someHaveVersion(version: string) {
  return (world: World) => world.pods().some(ofVersion(version));
}

function names(world: World): string {
  return world
    .volumes()
    .map(({ metadata }) => metadata.name)
    .sort()
    .join();
}

function follower(world: World): string {
  const leader = world.leaderName();
  return world.store()?.members.find(({ name }) => name !== leader)?.name ?? '';
}

function observers(world: World) {
  return world.store()?.members.filter(({ observer }) => observer) ?? [];
}

/** The volume of one is there, and it has not joined. */
function observerJoins(world: World): boolean {
  return world.volumes().some(({ metadata }) => metadata.labels?.[roleLabel] === 'observer');
}

function leader(world: World): string {
  return world.leaderName() ?? '';
}

function versionIs(version: string) {
  return (world: World) => assert.ok(world.pods().every(ofVersion(version)), `not all ${version}`);
}

/** To a version that waits for a backup. */
const changeThatWaits = half((world) => {
  world.schedule();
  world.edit({ version: '0.2.0' });
}, waitsFor('BackupFirst'));

const source = { endpoints: ['http://old:2379'] };
const following = { bootstrap: { mirrorFrom: source } };
const cutOver = { bootstrap: { mirrorFrom: { ...source, cutOver: true } } };

function sourceIsStill({ mirrors }: World): void {
  mirrors.isWritten = false;
}

function sourceIsWritten({ mirrors }: World): void {
  mirrors.isWritten = true;
}

function isOnItsOwn({ status, mirrors }: World): void {
  assert.equal(status?.mirror?.phase, 'Done');
  assert.ok(mirrors.isEnded);
}

/** What came of it; until then nobody has changed. */
function backUp(phase: 'Complete' | 'Failed'): Step {
  return then((world) => {
    versionIs('0.1.0')(world);
    world.endBackups(phase);
  });
}

function namesAre(expected: string) {
  return (world: World) => assert.equal(names(world), expected);
}

function recover(survivor: string, clusterUID?: string): Edit {
  return (world) =>
    world.edit({
      recovery: { survivor, clusterUID: clusterUID ?? world.cluster?.metadata.uid },
    });
}

const traffic =
  (entries: number): Edit =>
  (world) => {
    const store = world.store();
    if (store !== undefined) store.entriesPerTurn = entries;
  };

/** Behind by thousands of so many, a member counts as well already. */
const longLog: Edit = (world) => {
  for (const member of world.store()?.members ?? []) member.applied += 400_000;
  traffic(6_000)(world);
};

/** The volumes of two of three are gone, and their pods with them. */
const loseTwo: Edit = (world) => {
  for (const name of ['demo-2', 'demo-3']) {
    world.deletePod(name);
    world.deleteVolume(name);
  }
};

/** Every member's database takes as much, at once. */
function grow(world: World, bytes: number): void {
  for (const member of world.store()?.members ?? []) member.databaseBytes = bytes;
  world.turn();
}

function fill(bytes: number): Edit {
  return (world) => {
    const store = world.store();
    if (store !== undefined) store.historyBytes = bytes;
    grow(world, bytes);
  };
}

function fillWithKeys(bytes: number): Edit {
  return (world) => {
    const store = world.store();
    if (store !== undefined) store.liveBytes = bytes;
    grow(world, bytes);
  };
}

const mebibyte = 1024 ** 2;
const restart = { restart: 'now' };
const badImage = { image: 'mainstay:bad' };
const badOption = { options: { snapshotCount: 666 } };

/** Children of something else under the names that ours would have. */
function foreignChild(kind: 'Service' | 'PodDisruptionBudget', name: string): Edit {
  return (world) => {
    world.kube.put(objectPath(kind, { ...key, name }), {
      apiVersion: 'v1',
      kind,
      metadata: { name, namespace: key.namespace },
      spec: { minAvailable: 0, selector: { matchLabels: {} } },
    } as unknown as Stored);
  };
}

function removeByHand(name: string): Edit {
  return (world) => {
    const store = world.store();
    const id = store?.members.find((member) => member.name === name)?.id;
    if (store !== undefined && id !== undefined) store.commit(() => store.remove(id));
  };
}

/** What `etcdctl member add` does, and the member that it was done for. */
function addByHand(learner: boolean): Edit {
  return (world) => {
    const store = world.store();
    store?.commit(() => {
      const member = store.add('http://elsewhere:2380', learner);
      member.name = 'elsewhere';
      store.running.add(member.id);
    });
  };
}

const promoteByHand: Edit = (world) => {
  for (const member of world.store()?.members ?? []) {
    if (member.name === 'elsewhere') member.learner = false;
  }
};

const create1: Scenario = {
  name: 'create-1',
  steps: [create({ replicas: 1 })],
  end: 'converged',
  check: namesAre('demo-1'),
};
const create3: Scenario = {
  name: 'create-3',
  steps: [create({ replicas: 3 })],
  end: 'converged',
  check: namesAre('demo-1,demo-2,demo-3'),
};
const create5: Scenario = {
  name: 'create-5',
  steps: [create({ replicas: 5 })],
  end: 'converged',
};
const create3WithSurge: Scenario = {
  name: 'create-3-with-surge',
  steps: [create({ replicas: 3, update: { surge: true } })],
  end: 'converged',
  check: namesAre('demo-1,demo-2,demo-3'),
};
/** Of the release before. */
function ofBefore(replicas: number, surge = false): Scenario {
  const name = `create-${replicas}-of-0.1${surge ? '-with-surge' : ''}`;
  const update = surge ? { update: { surge } } : {};
  const steps = [create({ replicas, version: '0.1.0', ...update })];
  return { name, steps, end: 'converged' };
}
const create1OfBefore = ofBefore(1);
const create3OfBefore = ofBefore(3);
const create5OfBefore = ofBefore(5);
const create3OfBeforeWithSurge = ofBefore(3, true);
const create3ToDelete: Scenario = {
  name: 'create-3-to-delete',
  steps: [create({ deletionPolicy: 'Delete' })],
  end: 'converged',
};
const quorumLost: Scenario = {
  name: 'quorum-lost',
  after: create3,
  steps: [then(loseTwo)],
  end: 'QuorumLost',
};

export const scenarios: readonly Scenario[] = [
  create1,
  create3,
  create5,
  create3WithSurge,
  {
    name: 'scale-1-3-5-3-1',
    after: create1,
    steps: [scale(3), scale(5), scale(3), scale(1)],
    end: 'converged',
  },
  { name: 'scale-to-even', after: create3, steps: [scale(4), scale(2)], end: 'converged' },
  {
    name: 'scale-up-and-back-half-way',
    after: create3,
    steps: [
      half(
        (world) => world.edit({ replicas: 5 }),
        (world) => world.store()?.members.some(({ learner }) => learner) === true,
      ),
      scale(3),
    ],
    end: 'converged',
  },
  {
    name: 'upgrade-under-load',
    after: create3OfBefore,
    steps: [then(traffic(100)), spec({ version: '0.2.0' })],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'upgrade-while-one-copies-much',
    after: create3OfBefore,
    steps: [then(longLog), spec({ version: '0.2.0' })],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'upgrade-1',
    after: create1OfBefore,
    steps: [spec({ version: '0.2.0' })],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'upgrade-5',
    after: create5OfBefore,
    steps: [spec({ version: '0.2.0' })],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'upgrade-with-surge',
    after: create3OfBeforeWithSurge,
    steps: [spec({ version: '0.2.0' })],
    end: 'converged',
    check: (world) => {
      versionIs('0.2.0')(world);
      namesAre('demo-4,demo-5,demo-6')(world);
    },
  },
  {
    name: 'upgrade-with-a-backup-first',
    after: create3OfBefore,
    steps: [changeThatWaits, backUp('Complete')],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'upgrade-with-surge-and-a-backup-first',
    after: create3OfBeforeWithSurge,
    steps: [changeThatWaits, backUp('Complete')],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'upgrade-whose-backup-fails',
    after: create3OfBefore,
    steps: [changeThatWaits, backUp('Failed')],
    end: 'BackupFailed',
    check: versionIs('0.1.0'),
  },
  {
    name: 'upgrade-whose-backup-fails-and-is-waived',
    after: create3OfBefore,
    steps: [changeThatWaits, backUp('Failed'), then((world) => world.schedule(true))],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'mirror-cut-over',
    steps: [create(following), then(sourceIsStill), spec(cutOver)],
    end: 'converged',
    check: isOnItsOwn,
  },
  {
    name: 'mirror-cut-over-while-it-is-written-to',
    steps: [
      create(following),
      half((world) => world.edit(cutOver), waitsFor('CuttingOver')),
      then((world) => {
        assert.equal(world.status?.mirror?.phase, 'CuttingOver');
        sourceIsStill(world);
      }),
    ],
    end: 'converged',
    check: isOnItsOwn,
  },
  {
    name: 'mirror-with-pods-lost',
    steps: [
      create(following),
      then((world) => {
        world.deletePod('demo-mirror');
        world.deletePod('demo-2');
      }),
      half((world) => world.edit(cutOver), waitsFor('CuttingOver')),
      then((world) => {
        world.deletePod('demo-cut-over');
        world.deletePod('demo-mirror');
        sourceIsStill(world);
      }),
    ],
    end: 'converged',
    check: isOnItsOwn,
  },
  {
    name: 'mirror-whose-status-is-lost-after-the-cut-over',
    steps: [
      create(following),
      then(sourceIsStill),
      spec(cutOver),
      then((world) => {
        sourceIsWritten(world);
        world.forgetStatus();
      }),
    ],
    end: 'converged',
    check: isOnItsOwn,
  },
  {
    name: 'mirror-upgraded',
    steps: [
      create({ ...following, replicas: 1 }),
      then(sourceIsStill),
      spec({ image: 'mainstay:0.2.1' }),
    ],
    end: 'converged',
    check: (world) => assert.equal(world.status?.mirror?.phase, 'Following'),
  },
  {
    name: 'upgrade-and-revert-half-way',
    after: create3OfBefore,
    steps: [
      half((world) => world.edit({ version: '0.2.0' }), someHaveVersion('0.2.0')),
      spec({ version: '0.1.0' }),
    ],
    end: 'converged',
    check: versionIs('0.1.0'),
  },
  {
    name: 'upgrade-with-surge-and-revert-half-way',
    after: create3OfBeforeWithSurge,
    steps: [
      half((world) => world.edit({ version: '0.2.0' }), someHaveVersion('0.2.0')),
      spec({ version: '0.1.0' }),
    ],
    end: 'converged',
    check: versionIs('0.1.0'),
  },
  {
    name: 'bad-image-and-revert',
    after: create3,
    steps: [
      half((world) => world.edit(badImage), waitsFor('MemberNotHealthy', 'LearnerStarting')),
      spec({ image: undefined }),
    ],
    end: 'converged',
  },
  {
    name: 'bad-image-stops-at-the-first',
    after: create3,
    steps: [
      half(
        (world) => world.edit(badImage),
        (world) => world.pods().some((pod) => ofVersion('bad')(pod) && isStuck(world)),
      ),
    ],
    end: 'MemberNotHealthy|LearnerStarting',
    check: (world) => {
      assert.equal(world.pods().filter(ofVersion('bad')).length, 1);
      assert.equal(world.status?.ready, '2/3');
    },
  },
  {
    name: 'bad-option-and-revert',
    after: create3,
    steps: [
      half((world) => world.edit(badOption), waitsFor('MemberNotHealthy', 'LearnerStarting')),
      spec({ options: undefined }),
    ],
    end: 'converged',
  },
  {
    name: 'bad-image-from-the-start',
    steps: [
      half((world) => world.createCluster(badImage), waitsFor('SeedStarting')),
      spec({ image: undefined }),
    ],
    end: 'converged',
  },
  {
    name: 'restart-on-request',
    after: create3,
    steps: [spec({ update: restart })],
    end: 'converged',
  },
  {
    name: 'option-change',
    after: create3,
    steps: [spec({ options: { heartbeatIntervalMs: 200, electionTimeoutMs: 2_000 } })],
    end: 'converged',
  },
  {
    name: 'resources-that-no-node-has-and-revert',
    after: create3,
    steps: [
      half(
        (world) => world.edit({ resources: { requests: { cpu: '64' } } }),
        waitsFor('MemberNotHealthy', 'LearnerStarting'),
      ),
      spec({ resources: { requests: { cpu: '1' } } }),
    ],
    end: 'converged',
  },
  {
    name: 'placement-change',
    after: create3,
    steps: [spec({ placement: { nodeSelector: { disk: 'solid' } } })],
    end: 'converged',
    check: (world) => {
      const nodes = world.pods().map(({ spec: { nodeName = '' } }) => nodeName);
      assert.ok(
        nodes.every((node) => node > 'n3'),
        nodes.join(),
      );
    },
  },
  {
    name: 'volumes-grow',
    after: create3,
    steps: [spec({ storage: { size: '2Gi' } })],
    end: 'converged',
  },
  {
    name: 'volumes-may-not-grow',
    steps: [
      then((world) => {
        world.conditions.mayGrow = false;
        world.createCluster();
      }),
      spec({ storage: { size: '2Gi' } }),
    ],
    end: 'converged',
    check: (world) => assert.equal(world.status?.growthRefused?.size, '2Gi'),
  },
  {
    name: 'pod-lost',
    after: create3,
    steps: [then((world) => world.deletePod(follower(world)))],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'leader-pod-lost',
    after: create3,
    steps: [then((world) => world.deletePod(leader(world)))],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'all-pods-lost',
    after: create3,
    steps: [
      then((world) => {
        for (const { metadata } of world.pods()) world.deletePod(metadata.name);
      }),
    ],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'pod-evicted-for-good',
    after: create3,
    steps: [
      then((world) => {
        const pod = world.pod(follower(world));
        if (pod === undefined) return;
        world.kubelet.stop(pod);
        world.kube.set(objectPath('Pod', { ...key, name: pod.metadata.name }), () => ({
          status: { phase: 'Failed', reason: 'Evicted' },
        }));
      }),
    ],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'volume-lost',
    after: create3,
    steps: [then((world) => world.deleteVolume(follower(world)))],
    end: 'converged',
  },
  {
    name: 'leader-volume-lost',
    after: create3,
    steps: [then((world) => world.deleteVolume(leader(world)))],
    end: 'converged',
  },
  {
    name: 'disk-emptied',
    after: create3,
    steps: [then((world) => world.emptyDisk('demo-2'))],
    end: 'converged',
    check: namesAre('demo-1,demo-3,demo-4'),
  },
  {
    name: 'disk-of-the-first-emptied',
    after: create3,
    steps: [then((world) => world.emptyDisk('demo-1'))],
    end: 'converged',
    check: namesAre('demo-2,demo-3,demo-4'),
  },
  {
    name: 'disk-of-the-first-of-0.1-emptied',
    after: create3OfBefore,
    steps: [then((world) => world.emptyDisk('demo-1'))],
    end: 'converged',
    check: namesAre('demo-2,demo-3,demo-4'),
  },
  {
    name: 'bad-image-taken-back-where-the-status-was-lost',
    after: create1,
    steps: [
      half(
        (world) => world.edit({ image: 'mainstay:bad' }),
        (world) => world.pods().some((pod) => ofVersion('bad')(pod) && isStuck(world)),
      ),
      half((world) => world.forgetStatus(), isStuck),
      spec({ image: undefined }),
    ],
    end: 'converged',
  },
  {
    name: 'member-damaged',
    after: create3,
    steps: [then((world) => world.damageDisk(follower(world)))],
    end: 'converged',
  },
  {
    name: 'member-damaged-while-another-is-down',
    after: create3,
    steps: [
      half(
        (world) => {
          world.mute('demo-2');
          world.damageDisk('demo-3');
        },
        waitsFor('MemberLost', 'QuorumLost'),
      ),
      then((world) => world.kubelet.heal()),
    ],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-4'),
  },
  {
    name: 'data-differs',
    after: create3,
    steps: [
      then((world) => {
        const store = world.store();
        const memberId = store?.members.find(({ name }) => name === follower(world))?.id ?? '';
        store?.alarms.push({ memberId, kind: 'CORRUPT' });
      }),
    ],
    end: 'converged',
  },
  {
    name: 'database-full-of-history',
    after: create3,
    steps: [then(fill(600 * mebibyte))],
    end: 'converged',
  },
  {
    name: 'database-full-of-keys',
    after: create3,
    steps: [
      half(fillWithKeys(600 * mebibyte), (world) => world.status?.space?.defragmented.length === 3),
      spec({ storage: { size: '4Gi' } }),
    ],
    end: 'converged',
  },
  {
    name: 'node-drained',
    after: create3,
    steps: [then((world) => world.drain(world.nodeOf(follower(world))))],
    end: 'converged',
  },
  {
    name: 'all-nodes-drained-in-turn',
    after: create3,
    steps: ['n1', 'n2', 'n3', 'n4', 'n5'].flatMap((node) => [
      then((world: World) => world.drain(node)),
      then((world: World) => world.startNode(node)),
    ]),
    end: 'converged',
  },
  {
    name: 'two-nodes-drained-at-once',
    after: create3,
    steps: [
      then((world) => {
        for (const node of ['n1', 'n2']) world.drain(node);
      }),
    ],
    end: 'converged',
  },
  {
    name: 'drained-while-scaling-up',
    after: create3,
    steps: [
      half(
        (world) => world.edit({ replicas: 5 }),
        (world) => (world.store()?.members.length ?? 0) > 3,
      ),
      then((world) => {
        for (const node of ['n1', 'n2', 'n3']) world.drain(node);
      }),
    ],
    end: 'converged',
  },
  {
    name: 'leader-node-cordoned',
    after: create3,
    steps: [then((world) => world.cordon(world.nodeOf(leader(world))))],
    end: 'converged',
    check: (world) => {
      const node = world.node(world.nodeOf(leader(world)));
      assert.notEqual(node?.spec.unschedulable, true);
    },
  },
  {
    name: 'node-dead-and-back',
    after: create3,
    steps: [
      half(
        (world) => world.stopNode(world.nodeOf(follower(world))),
        waitsFor('MemberNotHealthy', 'LearnerStarting'),
      ),
      then((world) => {
        for (const { metadata } of world.nodes()) world.startNode(metadata.name);
      }),
    ],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'node-dead-for-good',
    after: create3,
    steps: [
      half(
        (world) => world.stopNode(world.nodeOf(leader(world))),
        (world) => world.store()?.members.some(({ name }) => name === 'demo-4') === true,
      ),
      half(
        () => {},
        (world) => world.status?.ready === '3/3',
      ),
      then((world) => {
        for (const { metadata } of world.nodes()) world.startNode(metadata.name);
      }),
    ],
    end: 'converged',
  },
  {
    name: 'node-gone-with-its-volume',
    steps: [
      then((world) => {
        world.conditions.hasLocalVolumes = true;
        world.createCluster();
      }),
      then((world) => world.removeNode(world.nodeOf('demo-3'))),
    ],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-4'),
  },
  quorumLost,
  {
    name: 'quorum-lost-and-recovered',
    after: quorumLost,
    steps: [then(recover('demo-1')), spec({ recovery: undefined })],
    end: 'converged',
    check: (world) => assert.ok(world.volume('demo-1-copy')),
  },
  {
    name: 'recovered-twice',
    after: quorumLost,
    steps: [
      then(recover('demo-1')),
      then((world) => {
        for (const { metadata } of world.volumes()) {
          if (metadata.name.startsWith('demo-1')) continue;
          world.deletePod(metadata.name);
          world.deleteVolume(metadata.name);
        }
      }),
    ],
    end: 'QuorumLost',
  },
  {
    name: 'recovery-refused',
    after: quorumLost,
    steps: [then(recover('demo-1', 'another'))],
    end: 'RecoveryRefused',
    check: (world) => assert.equal(world.pods().length, 1),
  },
  {
    name: 'recovery-taken-back-half-way',
    after: quorumLost,
    steps: [
      half(recover('demo-1'), (world) => world.volume('demo-1-copy') !== undefined),
      spec({ recovery: undefined }),
    ],
    end: 'QuorumLost',
  },
  {
    name: 'recovery-without-a-loss',
    after: create3,
    steps: [then(recover('demo-1'))],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'paused-in-the-middle',
    after: create3OfBefore,
    steps: [
      half((world) => world.edit({ version: '0.2.0' }), someHaveVersion('0.2.0')),
      spec({ paused: true }),
      spec({ paused: undefined }),
    ],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'paused-while-a-pod-is-lost',
    after: create3,
    steps: [spec({ paused: true }), then((world) => world.deletePod('demo-2'))],
    end: 'Paused',
    check: (world) => assert.equal(world.pods().length, 2),
  },
  {
    name: 'deleted-with-retain-and-adopted',
    after: create3,
    steps: [
      then((world) => world.deleteCluster()),
      then((world) => world.createCluster()),
      half(
        (world) => {
          const [volume] = world.volumes();
          world.edit({ adoptFrom: volume?.metadata.labels?.['mainstay.dev/cluster-uid'] });
        },
        (world) => world.status?.ready === '3/3',
      ),
      then(() => {}),
    ],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'created-again-beside-retained-volumes',
    after: create3,
    steps: [then((world) => world.deleteCluster()), then((world) => world.createCluster())],
    end: 'ForeignVolumes',
    check: (world) => assert.equal(world.volumes().length, 3),
  },
  {
    name: 'deleted-with-delete',
    after: create3ToDelete,
    steps: [then((world) => world.deleteCluster())],
    end: 'gone',
    check: (world) => assert.equal(world.volumes().length, 0),
  },
  {
    name: 'deleted-with-retain',
    after: create3,
    steps: [then((world) => world.deleteCluster())],
    end: 'gone',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'deleted-in-the-middle-of-scaling',
    after: create3ToDelete,
    steps: [
      half(
        (world) => world.edit({ replicas: 5 }),
        (world) => (world.store()?.members.length ?? 0) > 3,
      ),
      then((world) => world.deleteCluster()),
    ],
    end: 'gone',
    check: (world) => assert.equal(world.volumes().length, 0),
  },
  {
    name: 'deleted-and-created-at-once',
    after: create3ToDelete,
    steps: [
      half(
        (world) => world.deleteCluster(),
        (world) => world.cluster === undefined,
      ),
      then((world) => world.createCluster()),
    ],
    end: 'converged',
  },
  {
    name: 'status-lost',
    after: create3,
    steps: [
      then((world) => world.kube.set(objectPath('StoreCluster', key), () => ({ status: {} }))),
    ],
    end: 'converged',
    check: namesAre('demo-1,demo-2,demo-3'),
  },
  {
    name: 'service-name-taken',
    steps: [
      then((world) => {
        foreignChild('Service', 'demo')(world);
        world.createCluster();
      }),
    ],
    end: 'NameTaken',
    check: (world) => assert.equal(world.pods().length, 0),
  },
  {
    name: 'budget-name-taken',
    steps: [
      then((world) => {
        foreignChild('PodDisruptionBudget', 'demo')(world);
        world.createCluster();
      }),
    ],
    end: 'NameTaken',
  },
  {
    name: 'version-refused-from-the-start',
    steps: [create({ version: '7.0.0' })],
    end: 'VersionRefused',
    check: (world) => assert.equal(world.pods().length, 0),
  },
  {
    name: 'version-refused',
    after: create3,
    steps: [spec({ version: '7.0.0' })],
    end: 'VersionRefused',
    check: (world) => assert.equal(world.status?.ready, '3/3'),
  },
  {
    name: 'version-refused-and-reverted',
    after: create3OfBefore,
    steps: [spec({ version: '7.0.0' }), spec({ version: '0.2.0' })],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'member-removed-by-hand',
    after: create3,
    steps: [then((world) => removeByHand(follower(world))(world))],
    end: 'converged',
  },
  {
    name: 'member-added-by-hand',
    after: create3,
    steps: [then(addByHand(false)), scale(5)],
    end: 'converged',
  },
  {
    name: 'learner-added-by-hand-in-the-way',
    after: create3,
    steps: [
      then(addByHand(true)),
      half(
        (world) => world.edit({ replicas: 5 }),
        (world) =>
          world.status?.conditions?.some(({ reason }) => reason === 'ActionFailed') === true,
      ),
      then(promoteByHand),
    ],
    end: 'converged',
  },
  {
    name: 'members-change-before-a-learner-starts',
    after: create3,
    steps: [
      half((world) => {
        for (const { metadata } of world.nodes()) world.cordon(metadata.name);
        world.edit({ replicas: 4 });
      }, waitsFor('LearnerStarting')),
      half(
        (world) => removeByHand(follower(world))(world),
        (world) => world.status?.replicas === 3,
      ),
      then((world) => {
        for (const { metadata } of world.nodes()) world.startNode(metadata.name);
      }),
    ],
    end: 'converged',
  },
  {
    name: 'observers-come-and-go',
    after: create3,
    steps: [
      spec({ observers: { replicas: 2 } }),
      then((world) => assert.equal(observers(world).length, 2)),
      spec({ observers: { replicas: 1 } }),
      spec({ observers: undefined }),
    ],
    end: 'converged',
    check: (world) => assert.equal(observers(world).length, 0),
  },
  {
    name: 'observers-and-voters-scale-together',
    after: create3,
    steps: [
      half((world) => world.edit({ observers: { replicas: 2 } }), observerJoins),
      spec({ replicas: 5, observers: { replicas: 3 } }),
      spec({ replicas: 3, observers: { replicas: 1 } }),
    ],
    end: 'converged',
  },
  {
    name: 'observers-are-changed-first',
    after: create3,
    steps: [spec({ observers: { replicas: 2 } }), spec({ options: { snapshotCount: 1_000 } })],
    end: 'converged',
  },
  {
    name: 'observer-that-does-not-start-stops-a-change',
    after: create3,
    steps: [
      spec({ observers: { replicas: 1 } }),
      half((world) => world.edit({ image: 'mainstay:bad' }), isStuck),
      spec({ image: undefined }),
    ],
    end: 'converged',
  },
  {
    name: 'observer-loses-its-volume',
    after: create3,
    steps: [
      spec({ observers: { replicas: 1 } }),
      then((world) => world.deleteVolume(observers(world)[0]?.name ?? '')),
    ],
    end: 'converged',
    check: (world) => assert.equal(names(world), 'demo-1,demo-2,demo-3,demo-5'),
  },
  {
    name: 'voter-is-replaced-beside-observers',
    after: create3,
    steps: [
      spec({ observers: { replicas: 2 } }),
      then((world) => world.deleteVolume(follower(world))),
    ],
    end: 'converged',
  },
  {
    name: 'scaled-down-while-one-is-sick',
    after: create5,
    steps: [
      half((world) => world.mute('demo-2'), waitsFor('MemberNotHealthy', 'LearnerStarting')),
      half(
        (world) => world.edit({ replicas: 3 }),
        (world) => world.store()?.members.length === 3,
      ),
      then((world) => world.kubelet.heal()),
    ],
    end: 'converged',
    check: (world) => assert.equal(world.volume('demo-2'), undefined),
  },
  {
    name: 'upgraded-while-one-is-down',
    after: create3OfBefore,
    steps: [
      half((world) => world.mute('demo-2'), waitsFor('MemberNotHealthy', 'LearnerStarting')),
      spec({ version: '0.2.0' }),
    ],
    end: 'converged',
    check: versionIs('0.2.0'),
  },
  {
    name: 'budget-off-and-on',
    after: create3,
    steps: [spec({ disruptionBudget: 'Disabled' }), spec({ disruptionBudget: 'Enabled' })],
    end: 'converged',
  },
  {
    name: 'network-policy-on-and-off',
    after: create3,
    steps: [spec({ networkPolicy: {} }), spec({ networkPolicy: undefined })],
    end: 'converged',
    check: (world) =>
      assert.equal(world.kube.view(collectionPath('NetworkPolicy', key.namespace)).size, 0),
  },
];

/** Where random lives begin. */
export const beginnings: readonly Scenario[] = [
  create1,
  create3,
  create5,
  create3WithSurge,
  create3ToDelete,
  create3OfBefore,
  {
    name: 'just-created',
    steps: [half(create3.steps[0]?.edit ?? (() => {}), () => true)],
    end: '',
  },
];

export function scenarioOf(name: string): Scenario | undefined {
  return scenarios.find((scenario) => scenario.name === name);
}
