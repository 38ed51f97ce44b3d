import type { MemberPort } from '../../server/api/member-port.ts';
import { defined } from '../../server/base/assert.ts';
import type { Clock } from '../../server/base/clock.ts';
import type { FileSystem } from '../../server/base/file-system.ts';
import type { Random } from '../../server/base/random.ts';
import type { Replica } from '../../server/member/replica.ts';
import type { MemberState } from '../../server/member/state.ts';
import type { Member } from '../../server/proto/gen/internal.ts';
import type { PeerService } from '../../server/transport/peer-network.ts';
import type { RaftView } from './checkers/raft-invariants.ts';
import { MemberClock } from './clock.ts';
import type { Counters } from './counters.ts';
import { type DiskOptions, SimDisk } from './disk.ts';
import type { Observer } from './observer.ts';
import type { PeerHost, SimPeersModules } from './peers.ts';
import { SimProcess } from './process.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { SimStateStores } from './state-stores.ts';
import type { SwarmConfig } from './swarm.ts';

/** What a member is started with. */
export interface MemberPlan {
  readonly name: string;
  readonly peerUrl: string;
  /** Everybody that it is told of, itself included, by name. */
  readonly initialCluster: ReadonlyMap<string, string>;
  readonly isNewCluster: boolean;
}

/** Everything outside of one incarnation of a member's process. */
export interface Outside {
  readonly process: SimProcess;
  readonly clock: Clock;
  readonly random: Random;
  readonly fileSystem: FileSystem;
  readonly stores: SimStateStores;
  readonly peers: Pick<SimPeersModules, 'scheduler' | 'network' | 'self' | 'hostOf'>;
  readonly sent: SimPeersModules['sent'];
  readonly snapshotEnded: (isInstalled: boolean) => void;
  /** What a member that can be reached says of the cluster. */
  readonly askMembers: () => { clusterId: bigint; members: Member[] } | undefined;
  /** Runs the callback after what is going on now. */
  readonly defer: (callback: () => void) => void;
  readonly fatal: (error: Error) => void;
}

/** The shipped member, as the simulator drives it. */
export interface SimReplica {
  readonly port: MemberPort;
  readonly service: PeerService;
  readonly raft: RaftView;
  readonly state: Pick<MemberState, 'auth' | 'backend' | 'store' | 'membership'>;
  /** Past the checks of the cluster's health. */
  changeMembership: Replica['changeMembership'];
  start(): void;
  /** As on SIGTERM. */
  close(): Promise<void>;
}

export type Boot = (
  outside: Outside,
  plan: MemberPlan,
  options: SwarmConfig,
) => Promise<SimReplica>;

/** A machine with its disk, and whatever process of a member runs on it. */
export class SimMember {
  readonly plan: MemberPlan;
  readonly disk: SimDisk;
  readonly stores: SimStateStores;
  /** Its disk may be damaged in this run. */
  readonly isVictim: boolean;
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #clockRate: number;
  process: SimProcess | undefined;
  clock: MemberClock | undefined;
  replica: SimReplica | undefined;
  #host: PeerHost | undefined;
  observer: Observer | undefined;
  /** Why it will not start again: an expected refusal, or its own removal. */
  retired: string | undefined;
  isDamaged = false;
  /** Its next process dies at its so manieth side effect; 0: it does not. */
  killAtStart = 0;
  incarnations = 0;

  constructor(
    modules: { scheduler: Scheduler; random: SeededRandom; counters: Counters },
    options: {
      plan: MemberPlan;
      disk: DiskOptions;
      stateWriteMs: number;
      clockDrift: number;
      isVictim: boolean;
    },
  ) {
    this.plan = options.plan;
    this.isVictim = options.isVictim;
    this.#scheduler = modules.scheduler;
    this.#random = modules.random;
    const { scheduler, counters } = modules;
    this.disk = new SimDisk({ scheduler, counters, random: this.#random.fork() }, options.disk);
    this.disk.provide('/data');
    this.stores = new SimStateStores({ scheduler, random: this.#random.fork() }, options);
    this.#clockRate = 1 + this.#random.between(-options.clockDrift, options.clockDrift);
  }

  get name(): string {
    return this.plan.name;
  }

  get isRunning(): boolean {
    return this.process?.alive === true;
  }

  /** A running member that has opened its data. */
  get live(): SimReplica | undefined {
    return this.isRunning ? this.replica : undefined;
  }

  /** A new process: what it sees of the world. */
  begin(): {
    process: SimProcess;
    clock: MemberClock;
    fileSystem: FileSystem;
    random: SeededRandom;
  } {
    this.incarnations++;
    const process = new SimProcess(this.#scheduler);
    const random = this.#random.fork();
    const wallOffsetMs = this.#random.between(-500, 500);
    const clock = new MemberClock(
      { scheduler: this.#scheduler, process, random: this.#random.fork() },
      { rate: this.#clockRate, wallOffsetMs },
    );
    this.process = process;
    this.clock = clock;
    this.replica = undefined;
    this.observer = undefined;
    return { process, clock, random, fileSystem: this.disk.mount(process) };
  }

  /** The running process as its peers reach it. */
  get host(): PeerHost | undefined {
    return this.#host?.process.alive === true ? this.#host : undefined;
  }

  /** The process just begun: its replica is there once it has opened its data, and no longer than it lives. */
  openHost(): PeerHost {
    const process = defined(this.process, 'a process');
    const serviceOf = (): PeerHost['service'] =>
      this.process === process ? this.live?.service : undefined;
    const host = {
      name: this.name,
      process,
      get service() {
        return serviceOf();
      },
    };
    this.#host = host;
    return host;
  }

  /** The process is gone; the machine runs on, or loses its power too. */
  end(how: 'kill' | 'powerLoss'): void {
    this.process?.kill();
    this.replica = undefined;
    this.observer = undefined;
    if (how === 'kill') this.disk.processKilled();
    else this.disk.powerLoss();
    this.stores.crash();
  }
}
