import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { ClusterId, MemberId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';

/** Raised when a member of the version before could misread what is sent. */
export const peerProtocol = 'mainstay-peer/1';

/** What one member says to another before anything else, on every connection. */
export interface PeerHello {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
  /** The data directory of the one who speaks. */
  readonly incarnation: string;
  /** The data directory that it knows the other one by; empty when they have not met. */
  readonly expectedIncarnation: string;
  /** Where the one who speaks is reached: the other may be behind, and not know it yet (etcd's X-PeerURLs). */
  readonly urls: readonly string[];
}

/** Why a member does not talk to another; the text that the other one logs, and may stop for. */
export type PeerRefusal =
  | 'wrong cluster'
  | 'wrong member'
  | 'removed'
  | 'other data directory'
  | 'lost data';

const headerNames = {
  clusterId: 'x-mainstay-cluster-id',
  from: 'x-mainstay-from',
  to: 'x-mainstay-to',
  incarnation: 'x-mainstay-incarnation',
  expectedIncarnation: 'x-mainstay-expected-incarnation',
  urls: 'x-mainstay-peer-urls',
} as const;

export function helloHeaders(hello: PeerHello): OutgoingHttpHeaders {
  return {
    [headerNames.clusterId]: hexId(hello.clusterId),
    [headerNames.from]: hexId(hello.from),
    [headerNames.to]: hexId(hello.to),
    [headerNames.incarnation]: hello.incarnation,
    [headerNames.expectedIncarnation]: hello.expectedIncarnation,
    [headerNames.urls]: hello.urls.join(),
  };
}

/** Undefined when it is not a hello. */
export function readHello(headers: IncomingHttpHeaders): PeerHello | undefined {
  const clusterId = readId(headers[headerNames.clusterId]);
  const from = readId(headers[headerNames.from]);
  const to = readId(headers[headerNames.to]);
  const incarnation = headers[headerNames.incarnation];
  const expectedIncarnation = headers[headerNames.expectedIncarnation];
  if (clusterId === undefined || from === undefined || to === undefined) return undefined;
  if (typeof incarnation !== 'string' || typeof expectedIncarnation !== 'string') return undefined;
  const urls = readUrls(headers[headerNames.urls]);
  return { clusterId, from, to, incarnation, expectedIncarnation, urls };
}

function readUrls(text: string | string[] | undefined): string[] {
  return typeof text === 'string' ? text.split(',').filter((url) => URL.canParse(url)) : [];
}

function readId(text: string | string[] | undefined): bigint | undefined {
  return typeof text === 'string' && /^[0-9a-f]{1,16}$/.test(text)
    ? BigInt(`0x${text}`)
    : undefined;
}
