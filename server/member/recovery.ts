import { StateDamagedError } from '../backend/damage.ts';
import { assert } from '../base/assert.ts';
import type { EntryId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import { randomId } from '../base/random.ts';
import { ConfChange, ConfChangeKind, Member } from '../proto/gen/internal.ts';
import type { Entry } from '../raft/entry.ts';
import type { Persisted } from '../raft/raft.ts';
import { recoverLog } from '../wal/recover.ts';
import type { Replay } from '../wal/replay.ts';
import { replayWal } from '../wal/replay.ts';
import type { WalModules, WalOptions } from '../wal/wal.ts';
import { Wal } from '../wal/wal.ts';
import { settleForced } from './forced-cluster.ts';
import type { Identity } from './identity.ts';
import { decodeIdentity, encodeIdentity } from './identity.ts';
import type { Beginning, ReplicaOptions, ReplicaPorts } from './replica.ts';
import { MemberState } from './state.ts';

/** The data on disk is damaged, and there is no other member to get it from. */
export class DataDamagedError extends Error {
  override name = 'DataDamagedError';
}

export interface Recovered {
  readonly wal: Wal;
  readonly state: MemberState;
  readonly identity: Identity;
  readonly persisted: Persisted;
}

/** Begins a member, or goes on with what is on disk. Nothing is changed there before it is known to be good. */
export async function recover(ports: ReplicaPorts, options: ReplicaOptions): Promise<Recovered> {
  const { fileSystem } = ports;
  const replay = replayWal(fileSystem, options.walDirectory, ports.cipher);
  if (!replay.isEmpty) return resume(ports, options, replay);
  assert(options.beginning !== undefined, 'there is no log, and nothing says how to begin one');
  return begin(ports, options, options.beginning);
}

async function begin(
  ports: ReplicaPorts,
  options: ReplicaOptions,
  beginning: Beginning,
): Promise<Recovered> {
  const { clusterId, memberId } = beginning;
  const peers = beginning.members.map((member) => ({ ...member, isVoter: true }));
  const identity = { clusterId, memberId, incarnation: newIncarnation(ports.random), peers };
  const state = new MemberState(ports);
  await state.open(await ports.stateStores.open());
  const { index } = state.backend.applied;
  if (index > 0) {
    const { walDirectory } = options;
    await state.backend.close();
    throw new DataDamagedError(
      `${ports.stateStores.place} holds a state up to entry ${index}, but there is no log in ${walDirectory}:` +
        ' say with --wal-dir where the log is, or start with an empty data directory',
    );
  }
  const entries = beginning.isNewCluster ? firstEntries(beginning) : [];
  const hardState = { term: entries.length > 0 ? 1 : 0, vote: 0n, commit: entries.length };
  const [modules, walOptions] = walOf(ports, options);
  const wal = Wal.create(modules, walOptions, {
    hardState,
    entries,
    identity: encodeIdentity(identity),
  });
  const { confState } = state.membership;
  const base = { index: 0, term: 0 };
  const persisted = { hardState, base, entries, applied: 0, confState, owed: undefined };
  return { wal, state, identity, persisted };
}

/** Tells a new data directory from every other. */
export function newIncarnation(random: Random): string {
  return hexId(randomId(random)).padStart(16, '0');
}

/** The first members, as entries that every one of them has from the start and holds for committed. */
function firstEntries({ members }: Beginning): Entry[] {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  return sorted.map(({ id, peerUrls }, at) => {
    const member = Member.create({ id, peerUrls: [...peerUrls] });
    const change = ConfChange.create({ kind: ConfChangeKind.ADD_VOTER, member });
    const data = ConfChange.encode(change);
    return { index: at + 1, term: 1, kind: 'confChange', data };
  });
}

async function resume(
  ports: ReplicaPorts,
  options: ReplicaOptions,
  replay: Replay,
): Promise<Recovered> {
  const identity = identityOf(replay, options.walDirectory);
  const state = new MemberState(ports);
  const stateDamage = await openState(ports, state);
  const applied = stateDamage === undefined ? state.backend.applied : { index: 0, term: 0 };
  const log = recoverLog(replay, applied);
  const damage = damageText(options, { replay, stateDamage, owed: log.owed });
  const isAlone = options.forceNewCluster === true || isOnlyVoter(identity, state);
  if (log.owed !== undefined && isAlone) {
    throw new DataDamagedError(
      `${damage}: committed data is lost and no other member has it; restore a backup into an empty data directory`,
    );
  }
  if (damage !== undefined) {
    const fields = { damage, 'owed-index': log.owed?.index ?? 0 };
    ports.logger.warn(fields, 'damaged data: what is missing comes from the other members');
  }
  if (stateDamage !== undefined) {
    await ports.stateStores.discard();
    await state.open(await ports.stateStores.open());
  }
  const hardState = {
    ...replay.hardState,
    commit: Math.max(replay.hardState.commit, applied.index),
  };
  const [modules, walOptions] = walOf(ports, options);
  const encoded = encodeIdentity(identity);
  const wal = Wal.resume(modules, walOptions, { replay, log, hardState, identity: encoded });
  const { confState } = state.membership;
  const persisted = { ...log, hardState, applied: applied.index, confState };
  return settleForced(ports, options, { wal, state, identity, persisted });
}

function identityOf(replay: Replay, directory: string): Identity {
  if (replay.identity === undefined) {
    const { file, offset } = replay.damage ?? { file: '?', offset: 0 };
    throw new DataDamagedError(
      `${directory}/${file} at byte ${offset}: the log no longer says whose it is`,
    );
  }
  return decodeIdentity(replay.identity);
}

/** Why the state cannot be trusted; undefined when it can. */
async function openState(ports: ReplicaPorts, state: MemberState): Promise<string | undefined> {
  const store = await ports.stateStores.open().catch((error: unknown) => error);
  if (store instanceof Error) return reasonOf(store, ports.stateStores.place);
  try {
    await state.open(store as Awaited<ReturnType<typeof ports.stateStores.open>>);
    return undefined;
  } catch (error) {
    await (store as { close(): Promise<void> }).close();
    return reasonOf(error, ports.stateStores.place);
  }
}

function reasonOf(error: unknown, place: string): string {
  if (!(error instanceof StateDamagedError)) throw error;
  return `${error.file ?? place}: ${error.reason}`;
}

function damageText(
  options: ReplicaOptions,
  found: { replay: Replay; stateDamage: string | undefined; owed: EntryId | undefined },
): string | undefined {
  const { replay, stateDamage, owed } = found;
  const { damage } = replay;
  if (damage !== undefined)
    return `${options.walDirectory}/${damage.file} at byte ${damage.offset}`;
  if (stateDamage !== undefined || owed === undefined) return stateDamage;
  return `${options.walDirectory}: entries up to ${owed.index} were acknowledged and are not there`;
}

/** Nobody to repair from: the only voter, or, where even the state is lost, the only one ever known. */
function isOnlyVoter(identity: Identity, state: MemberState): boolean {
  const { voters } = state.membership.confState;
  const known = voters.length > 0 ? voters : identity.peers.map(({ id }) => id);
  return known.every((id) => id === identity.memberId);
}

function walOf(ports: ReplicaPorts, options: ReplicaOptions): [WalModules, WalOptions] {
  const { fileSystem, clock, random, fatal, cipher } = ports;
  const { walDirectory, walSegmentBytes } = options;
  const walOptions = { directory: walDirectory, segmentBytes: walSegmentBytes, sealAfterMs: 100 };
  return [{ fileSystem, clock, random, fatal, cipher }, walOptions];
}
