import type { Revision } from '../base/ids.ts';
import { ResponseHeader } from '../proto/gen/rpc.ts';

/** A header with what applying knows; the member's ids and term are filled in where the response leaves it. */
export function revisionHeader(revision: Revision): ResponseHeader {
  return ResponseHeader.create({ revision });
}
