import { costBytes } from '../apply/cost.ts';
import { EtcdError } from '../base/errors.ts';
import type { InternalRequestRequest } from '../proto/gen/internal.ts';
import { AlarmAction, AlarmType } from '../proto/gen/rpc.ts';
import type { MemberPort } from './member-port.ts';

/**
 * Before a request is looked at otherwise: undefined when this member has room for it. Where it has not, the alarm is
 * raised and the request refused: a rejection with EtcdError NoSpace (etcd's quotaAlarmer, v3rpc/quota.go).
 */
export function needSpace(
  port: MemberPort,
  request: InternalRequestRequest,
): Promise<never> | undefined {
  const { sizeBytes, quotaBytes } = port.dbSize();
  const cost = costBytes(request);
  const hasRoom = cost === 0 || quotaBytes < 0 || sizeBytes + cost < quotaBytes;
  return hasRoom ? undefined : refuse(port);
}

async function refuse(port: MemberPort): Promise<never> {
  const subject = { memberID: port.memberId, alarm: AlarmType.NOSPACE };
  const isRaised = port
    .alarms()
    .some(({ memberID, alarm }) => memberID === subject.memberID && alarm === subject.alarm);
  if (!isRaised) {
    const value = { action: AlarmAction.ACTIVATE, ...subject };
    try {
      await port.propose({ kind: 'alarm', value });
    } catch (error) {
      // The client is told of the space all the same; whoever comes next raises the alarm.
      if (!(error instanceof EtcdError)) throw error;
    }
  }
  throw new EtcdError('NoSpace');
}
