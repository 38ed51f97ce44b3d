import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { parseLoaded } from '../../operator/observe/loaded-certificates.ts';
import type { ClientOptions } from '../../server/client/client.ts';
import { Authority, type Pair } from '../../test/support/certificates.ts';
import { Newcomer, patientMs } from './newcomer.ts';
import { type Stage, scenario } from './scenario.ts';
import { Secrets } from './secrets.ts';
import type { TestedCluster } from './store-cluster.ts';
import { until } from './waiting.ts';

const name = 'given';
/** Nodes bring new contents of Secrets within two minutes. */
const loadMsMax = 300_000;

/** Who signs for a port, and whom it trusts. */
interface Side {
  authority: Authority;
  trusted: readonly Authority[];
}

/**
 * The Secrets that a person, or cert-manager for them, keeps for a store: both ports, and what the operator and an
 * application show.
 */
class GivenSecrets {
  readonly #stage: Stage;
  readonly #secrets: Secrets;
  readonly #client: Side;
  readonly #peer: Side;
  #application: Pair | undefined;
  #serials = { client: '', peer: '' };
  #days = 30;

  static async create(stage: Stage): Promise<GivenSecrets> {
    const [client, peer] = [await Authority.create('Clients'), await Authority.create('Peers')];
    const given = new GivenSecrets(stage, client, peer);
    await given.issue();
    return given;
  }

  private constructor(stage: Stage, client: Authority, peer: Authority) {
    this.#stage = stage;
    this.#secrets = new Secrets(stage.environment);
    this.#client = { authority: client, trusted: [client] };
    this.#peer = { authority: peer, trusted: [peer] };
  }

  /** New certificates for everybody. */
  async issue(): Promise<void> {
    const { namespace } = this.#stage.environment;
    const hosts = [`${name}.${namespace}.svc`, `*.${name}-peers.${namespace}.svc`];
    this.#days += 1;
    const validTo = this.#days * 24;
    const [client, peer] = [this.#client.authority, this.#peer.authority];
    const forClients = await client.issue({ commonName: name, hosts, validTo, usages: ['server'] });
    const forPeers = await peer.issue({ commonName: name, hosts, validTo });
    const showing = { hosts: [], validTo, usages: ['client'] } as const;
    this.#application = await client.issue({ commonName: 'application', ...showing });
    await this.#put(`${name}-clients`, forClients, this.#client);
    await this.#put(`${name}-peers`, forPeers, this.#peer);
    const operator = await client.issue({ commonName: 'operator', ...showing });
    await this.#put(`${name}-operator`, operator, this.#client);
    this.#serials = { client: forClients.serial, peer: forPeers.serial };
  }

  async #put(secret: string, { cert, key }: Pair, side: Side): Promise<void> {
    await this.#secrets.put(secret, { 'tls.crt': cert, 'tls.key': key, 'ca.crt': bundle(side) });
  }

  /** Other authorities come in beside those that there are, which still sign. */
  async trustOthers(): Promise<readonly [client: Authority, peer: Authority]> {
    const others = [
      await Authority.create('Clients 2'),
      await Authority.create('Peers 2'),
    ] as const;
    await this.#trust([...this.#client.trusted, others[0]], [...this.#peer.trusted, others[1]]);
    return others;
  }

  async signWith([client, peer]: readonly [Authority, Authority]): Promise<void> {
    this.#client.authority = client;
    this.#peer.authority = peer;
    await this.issue();
  }

  /** Only who signs now is trusted. */
  dropOthers(): Promise<void> {
    return this.#trust([this.#client.authority], [this.#peer.authority]);
  }

  async #trust(client: readonly Authority[], peer: readonly Authority[]): Promise<void> {
    this.#client.trusted = client;
    this.#peer.trusted = peer;
    for (const secret of [`${name}-clients`, `${name}-operator`]) {
      await this.#secrets.put(secret, { 'ca.crt': bundle(this.#client) });
    }
    await this.#secrets.put(`${name}-peers`, { 'ca.crt': bundle(this.#peer) });
  }

  /** Resolves when every member shows and trusts on both ports what is in the Secrets. */
  async untilLoaded(cluster: TestedCluster): Promise<void> {
    const expected = {
      client: { serial: this.#serials.client, trust: digest(bundle(this.#client)) },
      peer: { serial: this.#serials.peer, trust: digest(bundle(this.#peer)) },
    };
    let seen = '';
    await until(
      'every member has loaded what the Secrets have',
      loadMsMax,
      async () => {
        const pods = await cluster.pods();
        const loaded = await Promise.all(
          pods.map(async ({ metadata }) =>
            parseLoaded(await this.#stage.environment.podMetrics(metadata.name).catch(() => '')),
          ),
        );
        seen = JSON.stringify({ expected, loaded });
        return loaded.every((each) => JSON.stringify(each) === JSON.stringify(expected));
      },
      () => seen,
    );
    await cluster.untilSettled(3);
  }

  /** Days from now until the end of every certificate, as they were issued last. */
  get days(): number {
    return this.#days;
  }

  /** Of an application that reads its files anew for each connection. */
  get clientOptions(): Pick<ClientOptions, 'tls'> {
    return {
      tls: async () => ({
        serverName: `${name}.${this.#stage.environment.namespace}.svc`,
        ca: bundle(this.#client),
        cert: this.#application?.cert,
        key: this.#application?.key,
      }),
    };
  }
}

function bundle({ trusted }: Side): string {
  return trusted.map(({ cert }) => cert).join('');
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

scenario('given Secrets for clients and peers, and new ones', { isLong: true }, async (stage) => {
  const given = await GivenSecrets.create(stage);
  const cluster = stage.cluster(name);
  const client = {
    secretName: `${name}-clients`,
    operatorSecretName: `${name}-operator`,
    verifyClients: true,
  };
  await cluster.create({ tls: { client, peer: { secretName: `${name}-peers` } } });
  await cluster.untilSettled(3);
  await given.untilLoaded(cluster);
  const pods = await cluster.podUids();
  const endpoint = (await cluster.endpoint()).replace('http:', 'https:');
  const options = given.clientOptions;
  const load = await stage.load(cluster, { endpoint, timeoutMs: patientMs, ...options });
  const newcomer = new Newcomer({ endpoints: [endpoint], ...options }, 'load/newcomer');
  try {
    await stage.measure('other certificates', async () => {
      await given.issue();
      await given.untilLoaded(cluster);
    });
    await stage.measure('other CAs', async () => {
      const others = await given.trustOthers();
      await given.untilLoaded(cluster);
      await given.signWith(others);
      await given.untilLoaded(cluster);
      await given.dropOthers();
      await given.untilLoaded(cluster);
    });
    assert.deepEqual(await cluster.podUids(), pods, 'no pod was started anew');
    await load.untilMore(20);
  } finally {
    await newcomer.stop();
  }
  assert.deepEqual(newcomer.failures, [], 'every newcomer was let in');
  assert.equal(load.failures, 0, 'no call of a client that stayed has failed');
  await stage.measure('a member comes back among others that know only the new CA', async () => {
    const { name: follower } = await cluster.follower();
    await cluster.deletePod(follower);
    await cluster.untilSettled(3);
  });
  await tellsTheirEnds(cluster, given.days);
});

async function tellsTheirEnds(cluster: TestedCluster, days: number): Promise<void> {
  const { status } = await cluster.get();
  const ends = (status?.certificates ?? []).map(({ name: secret, expires }) => {
    return `${secret} ${Math.round((Date.parse(expires) - Date.now()) / 86_400_000)}`;
  });
  const secrets = ['clients', 'operator', 'peers'].map((part) => `${name}-${part}`);
  assert.deepEqual(
    ends,
    secrets.map((secret) => `${secret} ${days}`),
  );
}
