import type { Applied } from '../propose/proposer.ts';
import type { ResponseHeader } from '../proto/gen/rpc.ts';
import type { MemberPort } from './member-port.ts';

/** The header of a response that applying or reading has made: its revision stays, the rest is this member's. */
export function headed<Response extends { header: ResponseHeader | undefined }>(
  port: MemberPort,
  response: Response,
): Response {
  response.header = header(port, response.header?.revision || port.revision());
  return response;
}

/** The response of an applied request; throws its error. */
export function answered<Response extends { header: ResponseHeader | undefined }>(
  port: MemberPort,
  applied: Applied,
): Response {
  if (applied.error !== undefined) throw applied.error;
  const response = applied.response as Response;
  response.header = header(port, response.header?.revision || applied.revision);
  return response;
}

/** etcd's Cluster service answers with revision 0. */
export function header(port: MemberPort, revision: number): ResponseHeader {
  return {
    clusterId: port.clusterId,
    memberId: port.memberId,
    revision,
    raftTerm: port.raftStatus().term,
  };
}
