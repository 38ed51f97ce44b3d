import type { MemberPort } from '../../server/api/member-port.ts';
import { hexId, type MemberId } from '../../server/base/ids.ts';
import { DataRefusedError } from '../../server/member/peer-service.ts';
import { RemovedError } from '../../server/member/replica.ts';
import type { Member } from '../../server/proto/gen/internal.ts';
import type { Message } from '../../server/raft/messages.ts';
import { ClientHistory } from './checkers/client-history.ts';
import { EventLog, type KeySpan } from './checkers/event-log.ts';
import { RaftInvariants } from './checkers/raft-invariants.ts';
import { StateInvariants } from './checkers/state-invariants.ts';
import { demand } from './checkers/violation.ts';
import { Counters } from './counters.ts';
import { type Boot, type MemberPlan, type Outside, SimMember } from './member.ts';
import { quietNetwork, SimNetwork } from './network.ts';
import { ClientStream, ClientWatch, Observer } from './observer.ts';
import type { SimProcess } from './process.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { observerStalenessMaxMs, type SwarmConfig } from './swarm.ts';
import type { Trace } from './trace.ts';
import type { Endpoint } from './workload.ts';

export interface ClusterModules {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly boot: Boot;
}

/** A client's watches on one stream, and the process that serves it now. */
interface AttachedStream {
  readonly stream: ClientStream;
  readonly random: SeededRandom;
  /** How long it takes for its client to be ready for more; 0: it always is. */
  readonly slowMs: number;
  process: SimProcess;
}

/** In a healthy cluster every member knows a revision, and has told its watches, within this. */
const convergenceMs = 1_000;

const streamsMax = 12;

/** The members, what connects them, and what watches over them. */
export class Cluster {
  readonly counters = new Counters();
  readonly log = new EventLog();
  readonly history = new ClientHistory(this.log);
  readonly invariants = new RaftInvariants();
  readonly states = new StateInvariants(this.log);
  readonly network: SimNetwork<string>;
  readonly members: SimMember[] = [];
  readonly #modules: ClusterModules;
  readonly #config: SwarmConfig;
  readonly #random: SeededRandom;
  readonly #byId = new Map<MemberId, SimMember>();
  readonly #byUrl = new Map<string, SimMember>();
  readonly #streams: AttachedStream[] = [];
  /** Members whose process ran since the last check. */
  readonly #touched = new Set<SimMember>();
  #failure: Error | undefined;
  #isHealed = false;

  constructor(modules: ClusterModules, config: SwarmConfig) {
    this.#modules = modules;
    this.#config = config;
    this.#random = modules.random.fork();
    const { scheduler } = modules;
    this.network = new SimNetwork(
      { scheduler, random: modules.random.fork(), counters: this.counters },
      config.network,
    );
  }

  // --- what runs ---------------------------------------------------------------------------------

  /** The first members, as an operator would start them. */
  bootstrap(): void {
    const names = Array.from({ length: this.#config.members }, (_, at) => `m${at}`);
    const initialCluster = new Map(names.map((name) => [name, peerUrl(name)]));
    const victims = Math.floor((names.length - 1) / 2);
    names.forEach((name, at) => {
      const plan = { name, peerUrl: peerUrl(name), initialCluster, isNewCluster: true };
      this.#add(plan, at < victims || names.length === 1);
    });
    for (const member of this.members) this.start(member);
  }

  running(): SimMember[] {
    return this.members.filter((member) => member.isRunning);
  }

  leader(): SimMember | undefined {
    const leaders = this.members.filter((member) => member.live?.raft.role === 'leader');
    return leaders.sort((a, b) => (b.live?.raft.term ?? 0) - (a.live?.raft.term ?? 0))[0];
  }

  /** The members that can be asked; a paused one will answer when it goes on. */
  endpoints(options = { paused: false }): Endpoint[] {
    return this.members.flatMap((member) => {
      const { process, live } = member;
      const isMissing = process === undefined || live === undefined;
      return isMissing || (process.paused && !options.paused)
        ? []
        : [{ name: member.name, replica: live, port: live.port, process }];
    });
  }

  #add(plan: MemberPlan, isVictim: boolean): SimMember {
    const { scheduler } = this.#modules;
    const { disk, stateWriteMs, clockDrift } = this.#config;
    const member = new SimMember(
      { scheduler, random: this.#random.fork(), counters: this.counters },
      { plan, disk, stateWriteMs, clockDrift, isVictim },
    );
    this.members.push(member);
    this.#byUrl.set(plan.peerUrl, member);
    return member;
  }

  start(member: SimMember): void {
    if (member.isRunning || member.retired !== undefined) return;
    const outside = this.#outsideOf(member);
    const { process } = outside;
    this.#trace('start', member);
    process.watch(() => this.#touched.add(member));
    if (member.killAtStart > 0 && !this.#isHealed) {
      this.killAtEffect(member, member.killAtStart, this.#random.between(0, 1000));
    }
    member.killAtStart = 0;
    process.deliver(() => {
      this.#modules.boot(outside, member.plan, this.#config).then(
        (replica) => {
          if (process.alive) this.#opened(member, replica);
        },
        (error: unknown) => {
          if (process.alive) this.#refused(member, error as Error);
        },
      );
    });
  }

  #opened(member: SimMember, replica: NonNullable<SimMember['replica']>): void {
    member.replica = replica;
    this.#byId.set(replica.raft.id, member);
    if (member.isDamaged) this.invariants.diskDamaged(replica.raft.id);
    this.invariants.restarted(replica.raft);
    const { scheduler } = this.#modules;
    member.observer = new Observer(
      {
        log: this.log,
        port: replica.port,
        nowMs: () => scheduler.nowMs,
        defined: (revision) => this.history.revisionDefined(revision, scheduler.nowMs),
      },
      `${member.name}#${member.incarnations}`,
    );
    this.#trace('open', member);
    this.states.opened(member.name, replica);
    replica.start();
    this.#touched.add(member);
  }

  /** It does not start: right for a damaged disk, wrong for any other; after an error of the disk it tries again. */
  #refused(member: SimMember, error: Error): void {
    this.#trace('refuse', member, error.message);
    if ('code' in error) {
      this.#endProcess(member, 'kill', this.#random.between(200, 3000));
      return;
    }
    member.end('kill');
    if (!member.isDamaged) throw new Error(`${member.name} does not start`, { cause: error });
    this.counters.add('member.refusedToStart');
    member.retired = error.message;
  }

  /** The process ends itself. */
  #fatal(member: SimMember, error: Error): void {
    if (!member.isRunning) return;
    this.#trace('fatal', member, String(error));
    this.counters.add(`member.fatal.${error.name}`);
    const isExpected = 'code' in error || error instanceof RemovedError || member.isDamaged;
    if (!isExpected) this.#failure ??= error;
    const isFinal = error instanceof RemovedError || error instanceof DataRefusedError;
    if (isFinal) member.retired = error.message;
    this.#endProcess(member, 'kill', this.#random.between(200, 3000));
  }

  // --- what happens to them ----------------------------------------------------------------------

  kill(member: SimMember, downMs: number): void {
    this.#trace('kill', member);
    this.#endProcess(member, 'kill', downMs);
  }

  killAtEffect(member: SimMember, count: number, downMs: number): void {
    const how = this.#random.chance(0.5) ? 'kill' : 'powerLoss';
    member.process?.killAtEffect(count, () => {
      this.counters.add('process.killedInTheMiddle');
      this.#trace(how, member, 'in the middle');
      this.#endProcess(member, how, downMs);
    });
  }

  /** Kills it, and once more at a side effect of its next start. */
  killWhileStarting(member: SimMember, count: number, downMs: number): void {
    this.powerLoss(member, downMs);
    member.killAtStart = count;
  }

  /** The power fails while a write is under way. */
  powerLossAtWrite(member: SimMember, downMs: number): void {
    const { process } = member;
    member.disk.atNextWrite(() => {
      if (member.process === process && !this.#isHealed) this.powerLoss(member, downMs);
    });
  }

  powerLoss(member: SimMember, downMs: number): void {
    this.#trace('powerLoss', member);
    this.#endProcess(member, 'powerLoss', downMs);
  }

  pause(member: SimMember, durationMs: number): void {
    const { process } = member;
    this.#trace('pause', member);
    process?.pause();
    this.#modules.scheduler.after(durationMs, () => process?.resume());
  }

  /** As on SIGTERM: it has a few seconds, then it is killed. */
  shutDown(member: SimMember, downMs: number): void {
    this.#trace('shutDown', member);
    const { process, live } = member;
    const end = (): void => {
      if (member.process === process) this.#endProcess(member, 'kill', downMs);
    };
    this.#modules.scheduler.after(5_000, end);
    process?.deliver(() => {
      void live?.close().then(end);
    });
  }

  damageLog(member: SimMember, downMs: number): void {
    this.powerLoss(member, downMs);
    const kind = this.#random.chance(0.6) ? 'bitFlip' : 'zeroedSector';
    const file = member.disk.damage(kind);
    this.#trace('damage', member, `${kind} ${file}`);
    member.isDamaged ||= file !== undefined;
  }

  damageState(member: SimMember, downMs: number): void {
    this.kill(member, downMs);
    member.stores.current.flipBit(this.#random);
    member.isDamaged = true;
  }

  loseState(member: SimMember, downMs: number): void {
    this.powerLoss(member, downMs);
    member.stores.lose();
    member.isDamaged = true;
  }

  transferLeadership(): boolean {
    const leader = this.leader()?.live;
    const voters = leader?.raft.conf.voters.filter((voter) => voter !== leader.raft.id) ?? [];
    if (leader === undefined || voters.length === 0) return false;
    leader.port.transferLeadership(this.#random.pick(voters)).then(
      () => this.counters.add('transfer.done'),
      () => this.counters.add('transfer.failed'),
    );
    return true;
  }

  /** Everything heals, and everybody comes back. */
  heal(): void {
    this.#isHealed = true;
    this.network.heal(quietNetwork);
    for (const member of this.members) {
      member.process?.resume();
      member.process?.killAtEffect(Number.POSITIVE_INFINITY, () => {});
      member.disk.heal();
      member.stores.heal();
      this.start(member);
    }
  }

  #endProcess(member: SimMember, how: 'kill' | 'powerLoss', downMs: number): void {
    if (!member.isRunning) return;
    const { process } = member;
    member.end(how);
    this.#reattachLater(process);
    const backMs = this.#isHealed ? Math.min(downMs, 100) : downMs;
    this.#modules.scheduler.after(backMs, () => this.start(member));
  }

  // --- the network -------------------------------------------------------------------------------

  /** What a member's process sees of the world. */
  #outsideOf(member: SimMember): Outside {
    const { scheduler } = this.#modules;
    const { process, clock, fileSystem, random } = member.begin();
    const deferred: Array<() => void> = [];
    return {
      process,
      clock,
      random,
      fileSystem,
      stores: member.stores,
      peers: {
        scheduler,
        network: this.network,
        self: member.openHost(),
        hostOf: (url) => this.#byUrl.get(url)?.host,
      },
      sent: (message, to) => this.#sent(member, message, to.name),
      snapshotEnded: (isInstalled) => {
        this.counters.add(isInstalled ? 'snapshot.installed' : 'snapshot.failed');
      },
      askMembers: () => this.#askMembers(member),
      defer: (callback) => {
        deferred.push(callback);
        scheduler.after(0, () => process.deliver(() => deferred.shift()?.()));
      },
      fatal: (error) => this.#fatal(member, error),
    };
  }

  #askMembers(asking: SimMember): ReturnType<Outside['askMembers']> {
    const reachable = this.endpoints().filter(({ name }) => {
      return name !== asking.name && !this.network.isCut(asking.name, name);
    });
    if (reachable.length === 0) return undefined;
    const { port } = this.#random.pick(reachable);
    return { clusterId: port.clusterId, members: port.members() };
  }

  #sent(member: SimMember, message: Message, to: string): void {
    const { live } = member;
    if (live !== undefined) this.invariants.sent(live.raft, message);
    this.#modules.trace.add(message.kind, [message.term, numberOf(member)], () => {
      return `${member.name} > ${to} ${describe(message)}`;
    });
  }

  // --- membership --------------------------------------------------------------------------------

  /** A new machine for a member that joins those who are there; not yet started. */
  addMachine(known: readonly Member[]): SimMember {
    const name = `m${this.members.length}`;
    const initialCluster = new Map(known.map((member) => [member.name, member.peerUrls[0] ?? '']));
    initialCluster.set(name, peerUrl(name));
    return this.#add({ name, peerUrl: peerUrl(name), initialCluster, isNewCluster: false }, false);
  }

  // --- what watches over them --------------------------------------------------------------------

  openWatches(endpoint: Endpoint, spans: readonly KeySpan[], random: SeededRandom): void {
    if (this.#streams.length >= streamsMax) return;
    const watches = spans.map((span, at) => {
      return new ClientWatch(this.log, {
        name: `watch ${this.counters.get('op.watch')}.${at}`,
        span,
        from: Math.max(1, endpoint.port.revision() + 1 - random.below(20)),
        withPrevious: random.chance(0.5),
        without: random.pick([undefined, undefined, 'put', 'delete']),
      });
    });
    const stream = new ClientStream(watches);
    const slowMs = random.pick([0, 0, 20, 500]);
    const attached = { stream, random, slowMs, process: endpoint.process };
    this.#streams.push(attached);
    this.#attach(attached, endpoint);
  }

  #attach(attached: AttachedStream, { port, process }: Endpoint): void {
    const { stream, random, slowMs } = attached;
    attached.process = process;
    stream.open(port, () => {
      if (slowMs === 0) return true;
      this.#modules.scheduler.after(random.between(1, slowMs), () => {
        if (attached.process === process) process.deliver(() => stream.resume());
      });
      return false;
    });
  }

  /** Its clients go on elsewhere, or there again. */
  #reattachLater(ended: SimProcess | undefined): void {
    for (const attached of this.#streams) {
      if (attached.process !== ended || attached.stream.ended) continue;
      attached.stream.disconnected();
      const again = (): void => {
        const endpoints = this.endpoints();
        if (endpoints.length > 0) this.#attach(attached, attached.random.pick(endpoints));
        else this.#modules.scheduler.after(attached.random.between(10, 1000), again);
      };
      this.#modules.scheduler.after(attached.random.between(10, 1000), again);
      this.counters.add('watch.resumed');
    }
  }

  /** After each event: what changed, checked. */
  settled(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#touched.size === 0) return;
    for (const member of this.#touched) {
      const { live, observer } = member;
      if (live !== undefined) {
        this.invariants.observe(live.raft);
        this.states.observe(member.name, live);
        this.#checkAge(live.port);
      }
      observer?.settle();
    }
    this.#touched.clear();
    this.history.settle();
    this.history.datedAt(this.#modules.scheduler.nowMs);
    for (const { stream } of this.#streams) {
      for (const watch of stream.watches) watch.check.settle();
    }
  }

  /** What an observer would serve now is not older than it says, if it would serve at all. */
  #checkAge(port: MemberPort): void {
    if (!port.raftStatus().isObserver) return;
    const isStale = port.isStale();
    this.counters.add(isStale ? 'observer.tooOld' : 'checked.observerAges');
    if (isStale) return;
    const { nowMs } = this.#modules.scheduler;
    this.history.observerHas(port.revision(), { nowMs, stalenessMs: observerStalenessMaxMs });
  }

  /** In the liveness phase: who still belongs to it and can run. */
  get core(): SimMember[] {
    const leader = this.leader()?.live;
    if (leader === undefined) return [];
    const conf = leader.raft.conf;
    const ids = [...conf.voters, ...conf.learners];
    return ids.flatMap((id) => this.#byId.get(id) ?? []).filter((m) => m.retired === undefined);
  }

  /** After the liveness phase: everybody has the same, and it is what everybody was told. */
  finish(): void {
    this.invariants.finish();
    this.history.finish();
    const { core } = this;
    const revision = this.log.revisionAt(this.#modules.scheduler.nowMs - convergenceMs);
    for (const { stream, process } of this.#streams) {
      const isOpen = core.some((member) => member.process === process && process.alive);
      for (const watch of stream.watches) {
        if (isOpen && !watch.ended) watch.check.finish(revision);
        this.counters.add('checked.watchedRevisions', watch.check.checks);
      }
    }
    this.counters.add('checked.answers', this.history.checks);
    this.counters.add('checked.alarms', this.history.alarms.checks);
    this.counters.add('checked.compactionHashes', this.states.hashes);
    this.counters.add('checked.revisions', this.log.lastRevision);
    const ends = core.flatMap(({ name, stores, live }) => {
      return live === undefined ? [] : [{ name, records: stores.current.records, live }];
    });
    this.states.finish(ends);
    for (const member of core) {
      const seen = member.observer?.seen ?? 0;
      demand(member.live?.port.isStale() !== true, () => {
        return `${member.name} is an observer that still takes itself for too old`;
      });
      demand(seen >= revision, () => {
        return `${member.name}'s watch has seen revision ${seen} of ${revision}`;
      });
    }
  }

  #trace(what: string, member: SimMember, detail = ''): void {
    this.#modules.trace.add(what, [numberOf(member)], () => `${member.name} ${detail}`);
  }
}

function peerUrl(name: string): string {
  return `http://${name}:2380`;
}

function numberOf(member: SimMember): number {
  return Number(member.name.slice(1));
}

function describe(message: Message): string {
  const parts = Object.entries(message)
    .filter(([key]) => !['kind', 'from', 'to'].includes(key))
    .map(([key, value]) => `${key}=${Array.isArray(value) ? `[${value.length}]` : String(value)}`);
  return `${parts.join(' ')} (${hexId(message.from)})`;
}
