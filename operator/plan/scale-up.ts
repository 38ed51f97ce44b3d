import { isTerminating } from '../observe/view.ts';
import { tokenAnnotation } from '../resources/labels.ts';
import { clusterToken, memberName, peerUrl } from '../resources/names.ts';
import { buildVolume } from '../resources/volume.ts';
import { act, type Rule } from './decision.ts';
import { unjoined } from './scale-down.ts';

/** A volume that was made for a new member: it joins as a learner. The pod follows by `restart`. */
export const join: Rule = (view) => {
  const { cluster } = view.observation;
  const next = unjoined(view).find((member) => !isTerminating(member.volume));
  if (next === undefined) return undefined;
  return act('MemberAdded', `${next.name} joins as a learner.`, {
    kind: 'addLearner',
    member: next.name,
    peerUrl: peerUrl(cluster, next.name),
  });
};

/** Fewer members than wanted: a volume under the next name, which `serials` has recorded. */
export const scaleUp: Rule = ({ observation, members }) => {
  const { cluster, spec } = observation;
  const joined = members.filter((member) => member.raft !== undefined);
  if (joined.length >= spec.replicas) return undefined;
  const member = memberName(cluster, cluster.status?.nextSerial ?? 1);
  return act('VolumeCreated', `Volume of a new member, ${member}.`, {
    kind: 'createVolume',
    volume: buildVolume(cluster, spec, { member, token: tokenOf(observation) }),
  });
};

function tokenOf({ cluster, volumes }: Parameters<Rule>[0]['observation']): string {
  const nonce = cluster.status?.bootstrap?.nonce;
  if (nonce !== undefined) return clusterToken(cluster, nonce);
  const recorded = volumes.map((volume) => volume.metadata.annotations?.[tokenAnnotation]);
  return recorded.find((token) => token !== undefined) ?? clusterToken(cluster, '');
}
