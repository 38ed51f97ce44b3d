import { serialOf } from '../resources/names.ts';
import { act, type Rule } from './decision.ts';

/**
 * Every serial in sight is recorded as taken before anything else happens, so that it stays taken when its member is
 * gone from everywhere. After this rule `status.nextSerial` is above them all; our own names are recorded before they
 * are used, so it decides only where others made something, or the status was lost.
 */
export const serials: Rule = ({ observation, members }) => {
  const { cluster } = observation;
  const names = [...observation.volumes, ...observation.pods].map((child) => child.metadata.name);
  const seen = [
    ...members.map((member) => member.serial),
    ...names.map((name) => serialOf(cluster, name) ?? 0),
  ];
  const highest = Math.max(0, ...seen);
  if ((cluster.status?.nextSerial ?? 1) > highest) return undefined;
  return act('SerialRecorded', `Member names up to ${highest} are taken.`, {
    kind: 'recordStatus',
    fields: { nextSerial: highest + 1 },
  });
};
