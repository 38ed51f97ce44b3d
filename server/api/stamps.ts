import { EtcdError } from '../base/errors.ts';
import { type StampListRequest, StampListResponse, Stamps } from '../proto/gen/stamps.ts';
import type { Call } from './call.ts';
import { StatusError } from './errors.ts';
import type { Gate } from './gate.ts';
import { header } from './header.ts';
import type { LeaderStamps, MemberPort } from './member-port.ts';

/** When the leader applied the newest revisions: for archives, which are restored to a time. */
export function stampCalls({ port, gate }: { port: MemberPort; gate: Gate }): Call[] {
  return [gate.unary(Stamps.methods.list, 'serves', (request) => list(port, request))];
}

async function list(port: MemberPort, { after }: StampListRequest): Promise<StampListResponse> {
  const { stamps, ...found } = await told(port, Math.max(0, after));
  return {
    header: header(port, port.revision()),
    ...found,
    stamps: stamps.map(({ isLeaders, ...stamp }) => ({ ...stamp, byLeader: isLeaders })),
  };
}

/** A leader of a release before is as a server that does not know the call: another try is of no use. */
async function told(port: MemberPort, after: number): Promise<LeaderStamps> {
  try {
    return await port.leaderStamps(after);
  } catch (error) {
    if (!(error instanceof EtcdError) || error.error !== 'NotCapable') throw error;
    throw new StatusError('UNIMPLEMENTED', 'the leader is of a release that tells no stamps');
  }
}
