import { type DiskOptions, quietDisk } from './disk.ts';
import { type NetworkOptions, quietNetwork } from './network.ts';
import { SeededRandom } from './random.ts';

/** Faults that happen at points in time, each with a name that the run counts it under. */
export const nemesisKinds = [
  'shutDown',
  'kill',
  'killAtEffect',
  'killWhileStarting',
  'powerLoss',
  'powerLossAll',
  'pause',
  'partition',
  'partitionOneWay',
  'partitionPartial',
  'isolateLeader',
  'clog',
  'slowLink',
  'diskStall',
  'syncError',
  'diskFull',
  'damageLog',
  'damageState',
  'loseState',
  'transferLeadership',
  'changeMembership',
  'wallJump',
] as const;

export type NemesisKind = (typeof nemesisKinds)[number];

/** Of all observers: as their own clocks measure it. */
export const observerStalenessMaxMs = 2_000;

/** What one seed runs: drawn from the seed, and printed with it. */
export interface SwarmConfig {
  readonly members: number;
  /** That are added in the course of the run: learners that stay, and answer reads. */
  readonly observers: number;
  readonly nemeses: readonly NemesisKind[];
  /** Mean milliseconds between two faults. */
  readonly nemesisEveryMs: number;
  readonly disk: DiskOptions;
  readonly network: NetworkOptions;
  /** 10 or 5 to an election timeout; a fifth of all that happens are heartbeats. */
  readonly heartbeatMs: number;
  /** Clocks run at 1 +- this. */
  readonly clockDrift: number;
  readonly clients: number;
  /** Mean milliseconds between two operations of one client. */
  readonly thinkMs: number;
  readonly keys: number;
  readonly mix: Readonly<Record<OpKind, number>>;
  /** Entries kept for followers that are behind, and bytes of a log segment: small, so that both ends are met often. */
  readonly snapshotEntries: number;
  readonly segmentBytes: number;
  /** Of entries in one message: 1 sends them one by one. */
  readonly appendBytes: number;
  /** Of such messages to one follower: few, since a lost or overtaken one has all behind it sent again. */
  readonly appendsInFlight: number;
  /** Mean milliseconds of a batch of the applied state. */
  readonly stateWriteMs: number;
}

export type OpKind =
  | 'put'
  | 'delete'
  | 'deleteRange'
  | 'txn'
  | 'read'
  | 'readSerializable'
  | 'readOld'
  | 'compact'
  | 'leaseGrant'
  | 'leaseKeepAlive'
  | 'leaseRevoke'
  | 'alarm'
  | 'rule'
  | 'watch';

/** Swarm testing: each seed leaves out a random subset of everything, so that the rest meets more often. */
export function drawSwarm(seed: number, options: { members?: number } = {}): SwarmConfig {
  const random = new SeededRandom(seed, 'swarm');
  const drawn = Number(random.weighted({ 1: 2, 3: 6, 5: 2 }));
  const members = options.members ?? drawn;
  const someOf = <K extends string>(weights: Record<K, number>): Record<K, number> => {
    const kept = { ...weights };
    for (const name in kept) if (random.chance(0.2)) kept[name] = 0;
    return kept;
  };
  return {
    members,
    // A draw of its own, so that seeds without any stay what they were.
    observers: new SeededRandom(seed, 'observers').pick([0, 0, 1, 2]),
    nemeses: nemesisKinds.filter((kind) => random.chance(kind === 'killAtEffect' ? 0.6 : 0.4)),
    nemesisEveryMs: random.between(500, 5000),
    disk: drawDisk(random),
    network: drawNetwork(random),
    heartbeatMs: new SeededRandom(seed, 'heartbeat').pick([100, 200, 200]),
    clockDrift: random.chance(0.5) ? 0.05 : 0,
    clients: random.chance(0.2) ? 8 : 2 + random.below(3),
    thinkMs: random.between(150, 500),
    keys: 2 + random.below(10),
    mix: {
      ...someOf({
        delete: 5,
        deleteRange: 2,
        txn: 15,
        readSerializable: 5,
        readOld: 4,
        compact: 2,
        leaseGrant: 3,
        leaseKeepAlive: random.pick([6, 6, 30]),
        leaseRevoke: 1,
        alarm: 0.5,
        watch: 1,
      }),
      put: 30,
      read: 25,
      // A draw of its own, so that seeds without it stay what they were.
      rule: new SeededRandom(seed, 'rules').pick([0, 0, 4, 20]),
    },
    snapshotEntries: random.pick([10, 40, 200, 1000]),
    appendBytes: random.pick([1, 200, 1024 * 1024]),
    appendsInFlight: new SeededRandom(seed, 'in flight').pick([2, 8, 32]),
    segmentBytes: random.pick([2_048, 8_192, 65_536]),
    stateWriteMs: random.pick([1, 20, 150, 1_500]),
  };
}

function drawDisk(random: SeededRandom): DiskOptions {
  const modes = (['prefix', 'subset', 'allLost'] as const).filter(() => random.chance(0.6));
  const isSlow = random.chance(0.4);
  return {
    ...quietDisk,
    writeMs: isSlow ? random.between(0.5, 5) : quietDisk.writeMs,
    syncMs: isSlow ? random.between(2, 30) : quietDisk.syncMs,
    stallRate: random.chance(0.2) ? 0.002 : 0,
    stallMsMax: 1500,
    crashModes: modes.length > 0 ? modes : ['subset'],
  };
}

function drawNetwork(random: SeededRandom): NetworkOptions {
  const some = (probability: number, max: number): number =>
    random.chance(probability) ? random.between(0, max) : 0;
  return {
    baseMs: random.between(0.2, 5),
    jitterMs: random.chance(0.2) ? random.between(5, 50) : random.between(0.1, 2),
    lossRate: random.chance(0.1) ? 0.3 : some(0.5, 0.08),
    duplicateRate: some(0.4, 0.1),
    lateRate: some(0.4, 0.02),
    lateMsMax: random.between(500, 10_000),
  };
}

export const calm = { disk: quietDisk, network: quietNetwork };
