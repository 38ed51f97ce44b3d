import type { Authenticator } from '../api/authenticator.ts';
import { ProbeCounters } from '../api/probe-counters.ts';
import { RpcCounters } from '../api/rpc-counters.ts';
import type { Fairness } from '../api/services.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { ProcessMetrics } from '../base/process-metrics.ts';
import type { Config } from '../config/config.ts';
import { auditFamilies } from '../metrics/audit-metrics.ts';
import { limitFamilies } from '../metrics/limit-metrics.ts';
import { memberFamilies } from '../metrics/member-metrics.ts';
import { networkFamilies } from '../metrics/peer-metrics.ts';
import { Registry } from '../metrics/registry.ts';
import { authFamilies, rpcFamilies } from '../metrics/rpc-metrics.ts';
import { stateFamilies } from '../metrics/state-metrics.ts';
import { type CertificateSource, tlsFamilies } from '../metrics/tls-metrics.ts';
import type { ClientListener, ClientMetrics } from '../transport/client-listener.ts';
import type { PeerNetwork } from '../transport/peer-network.ts';
import type { LevelStateStores } from './level-state-stores.ts';
import type { LocalMember } from './local-member.ts';
import type { Replica } from './replica.ts';

export interface MetricsModules {
  readonly member: LocalMember;
  readonly replica: Replica;
  readonly peers: Pick<PeerNetwork, 'traffic'>;
  readonly stateStores: Pick<LevelStateStores, 'commitSeconds'>;
  readonly authenticator: Pick<Authenticator, 'counters'>;
  readonly fairness: Fairness;
  readonly certificates: CertificateSource;
  readonly auditLog?: AuditLog | undefined;
}

/** Every metric of one member: here a module's counters are registered. */
export class MemberMetrics implements ClientMetrics {
  readonly rpc: RpcCounters;
  readonly probes = new ProbeCounters();
  readonly #registry = new Registry();
  readonly #process = new ProcessMetrics();
  #clients: Pick<ClientListener, 'bytes'> | undefined;

  constructor(modules: MetricsModules, options: Pick<Config, 'hasExtensiveMetrics'>) {
    const { member, replica, peers, stateStores, authenticator, certificates, auditLog } = modules;
    const { commitSeconds } = stateStores;
    const nowMs = (): number => performance.now();
    this.rpc = new RpcCounters({ nowMs }, { hasSeconds: options.hasExtensiveMetrics });
    const source = { member, replica, probes: this.probes, commitSeconds };
    const registry = this.#registry;
    registry.register(() => memberFamilies(source));
    registry.register(() => stateFamilies(replica.state));
    registry.register(() => networkFamilies(member.memberId, peers.traffic, this.#clientBytes()));
    registry.register(() => rpcFamilies(this.rpc));
    registry.register(() => authFamilies(authenticator.counters));
    registry.register(() => limitFamilies(modules.fairness));
    registry.register(() => tlsFamilies(certificates));
    if (auditLog !== undefined) registry.register(() => auditFamilies(auditLog));
    registry.register(() => this.#process.families());
  }

  /** The listener that is opened with these metrics. */
  bind(clients: Pick<ClientListener, 'bytes'>): void {
    this.#clients = clients;
  }

  scrape(): string {
    return this.#registry.text();
  }

  #clientBytes(): { readonly received: number; readonly sent: number } {
    return this.#clients?.bytes ?? { received: 0, sent: 0 };
  }
}
