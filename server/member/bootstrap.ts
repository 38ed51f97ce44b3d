import { hexId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import type { PeerDialer } from '../transport/peer-dialer.ts';
import { clusterIdOf, memberIdOf } from './ids.ts';
import { DataRefusedError } from './peer-service.ts';
import type { Beginning } from './replica.ts';

/** Asked of the peers of a cluster that is to be joined, until one answers. */
const joinTimeoutMs = 30_000;
const joinRetryMs = 500;
const askTimeoutMs = 1_000;

export class BootstrapError extends Error {
  override name = 'BootstrapError';
}

interface RemoteCluster {
  readonly clusterId: bigint;
  readonly members: ReadonlyArray<{
    readonly id: bigint;
    readonly peerUrls: readonly string[];
    readonly incarnation: string;
  }>;
}

export interface BootstrapModules {
  readonly logger: Logger;
  readonly dialer: PeerDialer;
}

/** How a member without data begins: with the other first ones, or by joining those who are there. */
export function decideBeginning(modules: BootstrapModules, config: Config): Promise<Beginning> {
  return config.initialClusterState === 'new'
    ? beginCluster(modules, config)
    : joinCluster(modules, config);
}

async function beginCluster(modules: BootstrapModules, config: Config): Promise<Beginning> {
  const token = config.initialClusterToken;
  const members = config.initialCluster.map(({ peerUrls }) => ({
    id: memberIdOf(peerUrls, { token }),
    peerUrls,
  }));
  const memberId = memberIdOf(config.advertisePeerUrls, { token });
  const clusterId = clusterIdOf(members.map(({ id }) => id));
  const answers = await Promise.all(peerUrlsOf(config).map((url) => askMembers(modules, url)));
  for (const remote of answers) {
    if (remote === undefined) continue;
    refuseIfKnown(remote, memberId);
    if (remote.clusterId !== clusterId) refuseIfRestored(remote, memberId);
  }
  return { isNewCluster: true, clusterId, memberId, members };
}

/** Joins by its peer URLs: whoever added it named them. Other members may have come or gone since the flags were written. */
async function joinCluster(modules: BootstrapModules, config: Config): Promise<Beginning> {
  const own = [...config.advertisePeerUrls].sort().join();
  for (let waitedMs = 0; ; waitedMs += joinRetryMs) {
    for (const url of peerUrlsOf(config)) {
      const remote = await askMembers(modules, url);
      const self = remote?.members.find(({ peerUrls }) => [...peerUrls].sort().join() === own);
      if (remote === undefined || self === undefined) continue;
      refuseIfKnown(remote, self.id);
      const { clusterId, members } = remote;
      return { isNewCluster: false, clusterId, memberId: self.id, members };
    }
    if (waitedMs >= joinTimeoutMs) break;
    await new Promise((resolve) => setTimeout(resolve, joinRetryMs));
  }
  throw new BootstrapError(
    `cannot join: no member at ${peerUrlsOf(config).join(', ')} knows a member with the peer URLs ${own};` +
      ' add it to the cluster first (member add), and check --initial-cluster',
  );
}

function peerUrlsOf({ initialCluster, name }: Config): string[] {
  return initialCluster
    .filter((member) => member.name !== name)
    .flatMap(({ peerUrls }) => peerUrls);
}

/** An empty data directory under the id of a member that has been running: its votes are lost. */
function refuseIfKnown(remote: RemoteCluster, memberId: bigint): void {
  const known = remote.members.find(({ id }) => id === memberId);
  if (known !== undefined && known.incarnation !== '') throw new DataRefusedError(memberId);
}

/** The others began with what a snapshot held. They would never listen to a member that did not. */
function refuseIfRestored({ clusterId, members }: RemoteCluster, memberId: bigint): void {
  if (members.every(({ id }) => id !== memberId)) return;
  throw new BootstrapError(
    `the other members are of cluster ${hexId(clusterId)}, which this member belongs to but cannot begin: it was restored` +
      ' from a snapshot; restore this member from the same one',
  );
}

/** Undefined when the peer does not answer. */
function askMembers(
  { dialer, logger }: BootstrapModules,
  url: string,
): Promise<RemoteCluster | undefined> {
  return new Promise((resolve) => {
    const request = dialer.request(url, '/members', { timeout: askTimeoutMs });
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(parseMembers(text)));
    });
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', (error) => {
      logger.debug({ url, error: error.message }, 'a peer does not tell its members yet');
      resolve(undefined);
    });
    request.end();
  });
}

function parseMembers(text: string): RemoteCluster | undefined {
  try {
    const json = JSON.parse(text) as {
      clusterId: string;
      members: Array<{ id: string; peerURLs: string[]; incarnation: string }>;
    };
    const members = json.members.map(({ id, peerURLs, incarnation }) => ({
      id: BigInt(`0x${id}`),
      peerUrls: peerURLs,
      incarnation,
    }));
    return { clusterId: BigInt(`0x${json.clusterId}`), members };
  } catch {
    return undefined;
  }
}
