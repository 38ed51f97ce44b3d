import type { Pod } from '../api/objects.ts';
import type { Observation } from '../observe/observation.ts';
import {
  type ClusterView,
  isTerminating,
  joinedMembers,
  type MemberView,
} from '../observe/view.ts';
import { beginsAnnotation } from '../resources/labels.ts';
import { clusterToken, memberName, peerUrl } from '../resources/names.ts';
import { buildPod } from '../resources/pod.ts';
import { buildVolume } from '../resources/volume.ts';
import { act, type Decision, type Rule, stopUntil, waitFor } from './decision.ts';
import { diagnose, endedPod } from './diagnose.ts';
import { minutes } from './limits.ts';
import { moveLeader } from './quorum.ts';
import { fillSeed } from './restore.ts';

/**
 * Starts a store of one member, once. Only while no cluster id is recorded and no volume was ever a member's: an
 * emptied seed that is started as `new` again would be a second store with the same ids. Who asks for a recovery wants data,
 * and no empty store.
 */
export const bootstrap: Rule = (view) => {
  const { cluster, spec } = view.observation;
  const existed = view.members.some((member) => member.recordedId !== undefined);
  if (cluster.status?.clusterID !== undefined || existed || view.answered) return undefined;
  if (spec.recovery !== undefined) return undefined;
  const record = cluster.status?.bootstrap;
  if (record === undefined) return recordSeed(view);
  const seed = view.members.find((member) => member.name === record.seed);
  return startSeed(
    view.observation,
    { ...record, token: clusterToken(cluster, record.nonce) },
    seed,
  );
};

function recordSeed({ observation, members }: ClusterView): Decision {
  if (members.length > 0) {
    return stopUntil(
      'BootstrapRefused',
      `${members.map((member) => member.name).join(', ')} exist, but nothing is recorded of a store. ` +
        'Restore the status of this StoreCluster, or delete these volumes and pods to start an empty store.',
    );
  }
  const { cluster, nonce } = observation;
  const serial = cluster.status?.nextSerial ?? 1;
  const seed = memberName(cluster, serial);
  return act('BootstrapRecorded', `The store starts with ${seed}.`, {
    kind: 'recordStatus',
    fields: { nextSerial: serial + 1, bootstrap: { nonce, seed } },
  });
}

interface Seed {
  readonly seed: string;
  readonly token: string;
}

function startSeed(
  observation: Observation,
  { seed, token }: Seed,
  member: MemberView | undefined,
): Decision {
  const { cluster, spec } = observation;
  if (member?.volume === undefined && member?.pod === undefined) {
    const volume = buildVolume(cluster, spec, { member: seed, token });
    return act('VolumeCreated', `Volume of the first member, ${seed}.`, {
      kind: 'createVolume',
      volume,
    });
  }
  const { volume } = member;
  if (member.pod === undefined && volume !== undefined && !isTerminating(volume)) {
    const filling = fillSeed(observation, { name: seed, token, volume });
    if (filling !== undefined) return filling;
  }
  const ended = endedPod(member);
  if (ended !== undefined) return ended;
  if (member.pod === undefined && !isTerminating(member.volume)) {
    const pod = buildPod(cluster, spec, {
      member: seed,
      role: 'voter',
      clusterState: 'new',
      initialCluster: [{ name: seed, peerUrl: peerUrl(cluster, seed) }],
      token,
    });
    return act('PodCreated', `Starting the first member, ${seed}.`, { kind: 'createPod', pod });
  }
  return waitFor('SeedStarting', `The first member starts: ${diagnose(member)}.`, minutes(5));
}

/**
 * The first pod says that the store is new. Its container would say so again on a volume that was emptied meanwhile, ask
 * nobody, and be a second store with the same ids. So, before others join, it is started anew as one that exists.
 */
export const endBootstrap: Rule = (view) => {
  const seed = joinedMembers(view).find(({ pod }) => pod !== undefined && beginsStore(pod));
  if (seed?.pod === undefined) return undefined;
  const handover = seed.isLeader ? moveLeader(view, seed, 'it is started anew') : undefined;
  if (handover !== undefined) return handover;
  const message = `${seed.name} has begun the store; it is started anew as a member of one that exists.`;
  return act('SeedRestarted', message, { kind: 'deletePod', pod: seed.pod });
};

/** Pods that release 0.1 made do not say so, and wait for their next change: no new operator restarts what is well. */
function beginsStore({ metadata }: Pod): boolean {
  return metadata.annotations?.[beginsAnnotation] !== undefined;
}
