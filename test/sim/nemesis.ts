import type { Cluster } from './cluster.ts';
import type { SimMember } from './member.ts';
import { Operator } from './operator.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { NemesisKind, SwarmConfig } from './swarm.ts';

const membershipEveryMs = 3_000;
const machinesMax = 12;

/**
 * Does harm, one thing after the other, at random times. Everything it does heals by itself after a while, or when the
 * liveness phase begins; only damage to stored bytes stays, and that befalls a minority that is fixed per seed.
 */
export class Nemesis {
  readonly #cluster: Cluster;
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #config: SwarmConfig;
  readonly #operator: Operator;
  #isOver = false;

  constructor(
    modules: { cluster: Cluster; scheduler: Scheduler; random: SeededRandom },
    config: SwarmConfig,
  ) {
    this.#cluster = modules.cluster;
    this.#scheduler = modules.scheduler;
    this.#random = modules.random;
    this.#config = config;
    this.#operator = new Operator({ ...modules, random: this.#random.fork() }, config);
  }

  start(): void {
    if (this.#config.nemeses.length > 0) this.#plan();
    if (this.#config.nemeses.includes('changeMembership')) this.#planChange();
    if (this.#config.observers > 0) this.#planObserver();
  }

  #planObserver(): void {
    this.#scheduler.after(this.#random.exponential(membershipEveryMs), () => {
      if (this.#isOver || this.#cluster.members.length >= machinesMax) return;
      if (this.#operator.addObserver()) this.#cluster.counters.add('observer.added');
      this.#planObserver();
    });
  }

  /** From now on everything works. */
  end(): void {
    this.#isOver = true;
    this.#cluster.heal();
  }

  #plan(): void {
    this.#scheduler.after(this.#random.exponential(this.#config.nemesisEveryMs), () => {
      if (this.#isOver) return;
      this.#strike(this.#random.pick(this.#config.nemeses));
      this.#plan();
    });
  }

  #planChange(): void {
    this.#scheduler.after(this.#random.exponential(membershipEveryMs), () => {
      if (this.#isOver) return;
      this.#strike('changeMembership');
      if (this.#random.chance(0.4)) this.#strike('changeMembership');
      this.#planChange();
    });
  }

  #strike(kind: NemesisKind): void {
    if (this.#attack(kind)) this.#cluster.counters.add(`nemesis.${kind}`);
  }

  /** False when there was nobody to do it to. */
  #attack(kind: NemesisKind): boolean {
    const cluster = this.#cluster;
    switch (kind) {
      case 'shutDown':
        return this.#toOne((member) => cluster.shutDown(member, this.#downMs()));
      case 'kill':
        return this.#toOne((member) => cluster.kill(member, this.#downMs()));
      case 'killAtEffect':
        return this.#toOne((member) => {
          cluster.killAtEffect(member, 1 + this.#random.below(40), this.#downMs());
        });
      case 'killWhileStarting':
        return this.#toOne((member) => {
          cluster.killWhileStarting(member, 1 + this.#random.below(25), this.#downMs());
        });
      case 'powerLoss':
        return this.#toOne((member) => this.#cutPower(member));
      case 'powerLossAll':
        for (const member of cluster.running()) this.#cutPower(member);
        return true;
      case 'pause':
        return this.#toOne((member) => cluster.pause(member, this.#pauseMs()), 0.6);
      case 'partition':
        return this.#partition((side, other) => [
          [...side, '>', ...other],
          [...other, '>', ...side],
        ]);
      case 'partitionOneWay':
        return this.#partition((side, other) => [[...side, '>', ...other]]);
      case 'partitionPartial':
        return this.#partitionPartial();
      case 'isolateLeader':
        return this.#isolateLeader();
      case 'clog':
        return this.#toOneLink((from, to) => {
          this.#cluster.network.clog(from, to, this.#random.between(100, 5000));
        });
      case 'slowLink':
        return this.#toOneLink((from, to) => {
          const extraMs = this.#random.between(50, 900);
          const durationMs = this.#random.between(1000, 10_000);
          this.#cluster.network.slow(from, to, { extraMs, durationMs });
        });
      case 'diskStall':
        return this.#stallDisks();
      case 'syncError':
        return this.#toOne((member) => member.disk.failSyncs(1));
      case 'diskFull':
        return this.#toOne((member) => this.#fillDisk(member));
      case 'damageLog':
        return this.#toVictim((member) => cluster.damageLog(member, this.#downMs()));
      case 'damageState':
        return this.#toVictim((member) => cluster.damageState(member, this.#downMs()));
      case 'loseState':
        return this.#toVictim((member) => cluster.loseState(member, this.#downMs()));
      case 'transferLeadership':
        return cluster.transferLeadership();
      case 'changeMembership':
        return this.#operator.act();
      case 'wallJump':
        return this.#toOne((member) => {
          member.clock?.jumpWall(this.#random.between(-3_600_000, 3_600_000));
        });
    }
  }

  #cutPower(member: SimMember): void {
    if (this.#random.chance(0.3)) this.#cluster.powerLoss(member, this.#downMs());
    else this.#cluster.powerLossAtWrite(member, this.#downMs());
  }

  #downMs(): number {
    return this.#random.chance(0.3) ? this.#random.between(0, 50) : this.#random.between(100, 6000);
  }

  /** The leader is the most interesting one. */
  #toOne(act: (member: SimMember) => void, leaderChance = 0.3): boolean {
    const running = this.#cluster.running();
    if (running.length === 0) return false;
    const leader = this.#cluster.leader();
    const isLeader = leader !== undefined && this.#random.chance(leaderChance);
    act(isLeader ? leader : this.#random.pick(running));
    return true;
  }

  #toVictim(act: (member: SimMember) => void): boolean {
    const victims = this.#cluster.running().filter((member) => member.isVictim);
    if (victims.length === 0) return false;
    act(this.#random.pick(victims));
    return true;
  }

  #partition(cuts: (side: string[], other: string[]) => string[][]): boolean {
    const names = this.#random.shuffle(this.#cluster.members.map(({ name }) => name));
    if (names.length < 2) return false;
    const at = 1 + this.#random.below(names.length - 1);
    for (const cut of cuts(names.slice(0, at), names.slice(at))) {
      const arrow = cut.indexOf('>');
      this.#cut(cut.slice(0, arrow), cut.slice(arrow + 1));
    }
    this.#reconnectLater();
    return true;
  }

  /** Two members cannot reach each other; everybody else can reach both. */
  #partitionPartial(): boolean {
    const [one, other] = this.#random.shuffle(this.#cluster.members.map(({ name }) => name));
    if (one === undefined || other === undefined) return false;
    this.#cut([one], [other]);
    this.#cut([other], [one]);
    this.#reconnectLater();
    return true;
  }

  #isolateLeader(): boolean {
    const leader = this.#cluster.leader();
    if (leader === undefined) return false;
    const others = this.#cluster.members
      .map(({ name }) => name)
      .filter((name) => name !== leader.name);
    const direction = this.#random.below(3);
    if (direction !== 1) this.#cut([leader.name], others);
    if (direction !== 0) this.#cut(others, [leader.name]);
    this.#reconnectLater();
    return true;
  }

  #cut(from: readonly string[], to: readonly string[]): void {
    for (const source of from) for (const target of to) this.#cluster.network.cut(source, target);
  }

  #reconnectLater(): void {
    this.#scheduler.after(this.#random.between(200, 10_000), () =>
      this.#cluster.network.reconnect(),
    );
  }

  /** Most often to one that leads away from the leader. */
  #toOneLink(act: (from: string, to: string) => void): boolean {
    const names = this.#random.shuffle(this.#cluster.members.map(({ name }) => name));
    const leader = this.#cluster.leader()?.name;
    const from = leader !== undefined && this.#random.chance(0.7) ? leader : names[0];
    const to = names.find((name) => name !== from);
    if (from === undefined || to === undefined) return false;
    act(from, to);
    return true;
  }

  /** Often long enough for another leader to be elected and to have begun its leases. */
  #pauseMs(): number {
    return this.#random.between(this.#random.chance(0.5) ? 100 : 3500, 8000);
  }

  /** Of one member, or the storage that all of them share. */
  #stallDisks(): boolean {
    const durationMs = this.#random.between(500, 6000);
    if (this.#random.chance(0.7)) return this.#toOne((member) => member.disk.stall(durationMs));
    for (const member of this.#cluster.running()) member.disk.stall(durationMs);
    return true;
  }

  #fillDisk(member: SimMember): void {
    member.disk.setFreeBytes(this.#random.below(4096));
    this.#scheduler.after(this.#random.between(500, 5000), () => {
      member.disk.setFreeBytes(Number.POSITIVE_INFINITY);
    });
  }
}
