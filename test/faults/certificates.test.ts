import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { Client } from '../../server/client/client.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { certificateReadMsMin } from '../../server/config/limits.ts';
import { Authority, Files, type Pair, tlsFlags } from '../support/certificates.ts';
import { type MemberProcess, TestCluster } from '../support/server-process.ts';

// Certificates are replaced while three members serve: no request fails, and no stream ends. What is on disk counts for
// every new connection, in both directions between members and from clients.

const files = new Files();
const watched: string[] = [];
let [first, second] = [] as unknown as [Authority, Authority];
let cluster: TestCluster;
let load: Load;
const enough = new AbortController();
let watching: Client;
let watch: Promise<void>;

/** Puts without a pause, on one connection that stays and on a new one each time, until it is stopped. */
class Load {
  readonly failures: string[] = [];
  done = 0;
  #isStopped = false;
  readonly #loops: Promise<void>[];
  readonly #client: () => Client;

  constructor(client: () => Client) {
    this.#client = client;
    const lasting = client();
    this.#loops = [
      this.#put('lasting', () => lasting).finally(() => lasting.close()),
      this.#put('fresh', client),
    ];
  }

  async #put(name: string, next: () => Client): Promise<void> {
    for (let at = 0; !this.#isStopped; at++) {
      const client = next();
      try {
        await client.put(`load/${name}/${at}`, String(at));
        this.done += 1;
      } catch (error) {
        this.failures.push(`${name} ${at}: ${String(error)}`);
      }
      if (name === 'fresh') client.close();
      await sleep(5);
    }
  }

  /** Some more puts of each kind, on connections that began after this call. */
  async goesOn(): Promise<void> {
    const enough = this.done + 16;
    while (this.done < enough && this.failures.length === 0) await sleep(10);
    const fresh = this.#client();
    await fresh.get('load');
    fresh.close();
    assert.deepEqual(this.failures, []);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
  }
}

/** What a client shows and believes; changed as the rotation goes on. */
let shown: { ca: string; cert: string; key: string };
let endpoints: string[];

function client(): Client {
  return new Client({ endpoints, timeoutMs: 20_000, tls: shown });
}

/** Later than what a member may remember of files. */
async function noticed(): Promise<void> {
  await sleep(certificateReadMsMin + 50);
}

/** The serial number that a member's client port shows to a new connection; rejects when it refuses. */
function serialAt(member: MemberProcess, pair: Pick<Pair, 'cert' | 'key'>): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port: Number(new URL(member.clientUrl).port),
      ca: [first.cert, second.cert],
      ALPNProtocols: ['http/1.1'],
      cert: pair.cert,
      key: pair.key,
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
    socket.write('GET /version HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.once('data', () => {
      resolve(socket.getPeerCertificate().serialNumber.toLowerCase().replace(/^0+/, ''));
      socket.destroy();
    });
  });
}

async function followerOf({ members }: TestCluster): Promise<MemberProcess> {
  const asking = client();
  for (const member of members) {
    const { leader, header } = await asking.status(member.clientUrl);
    if (leader === header?.memberId) continue;
    asking.close();
    return member;
  }
  throw new Error('every member leads');
}

before(async () => {
  [first, second] = [await Authority.create('first'), await Authority.create('second')];
  const ca = files.write('ca.pem', first.cert);
  const member = files.writePair('member', await first.issue());
  const crl = files.write('crl.der', await first.revoke([]));
  shown = { ca: first.cert, ...(await first.issue({ commonName: 'ann' })) };
  cluster = await TestCluster.start({
    program: 'mainstay',
    size: 3,
    schemes: { client: 'https', peer: 'https' },
    flags: [...tlsFlags(member, ca), `--client-crl-file=${crl}`, `--peer-crl-file=${crl}`],
  });
  endpoints = cluster.endpoints;
  const follower = await followerOf(cluster);
  endpoints = endpoints.filter((url) => url !== follower.clientUrl);
  watching = client();
  const { signal } = enough;
  const batches = watching.watch(keysUnder('load/'), { startRevision: 1, signal });
  watch = (async () => {
    for await (const { events } of batches) {
      for (const { kv } of events) watched.push(Buffer.from(kv?.key ?? []).toString());
    }
  })();
  load = new Load(client);
});

after(async () => {
  await load.stop();
  enough.abort();
  await watch;
  watching.close();
  await cluster.stop();
  files.remove();
});

suite('certificates are replaced under load', { timeout: 120_000 }, () => {
  test('first: the load runs', async () => {
    await load.goesOn();
  });

  test('a new certificate of the members: the old one serves until the new one is whole', async () => {
    const [member] = cluster.members as [MemberProcess];
    const old = await serialAt(member, shown);
    const renewed = await first.issue();
    files.write('member.pem', renewed.cert);
    await noticed();
    assert.equal(await serialAt(member, shown), old);
    await load.goesOn();
    assert.match(member.log, /certificates cannot be used: new connections use those from before/);
    files.write('member-key.pem', '-----BEGIN PRIVATE KEY-----\nMIG');
    await noticed();
    assert.equal(await serialAt(member, shown), old);
    files.write('member-key.pem', renewed.key);
    await noticed();
    for (const each of cluster.members) assert.equal(await serialAt(each, shown), renewed.serial);
    await load.goesOn();
  });

  test('a new authority, with an overlap: then the old one is believed no more', async () => {
    const old = shown;
    files.write('ca.pem', first.cert + second.cert);
    await noticed();
    shown = { ...shown, ca: first.cert + second.cert };
    await load.goesOn();
    const renewed = await second.issue();
    files.writePair('member', renewed);
    await noticed();
    await load.goesOn();
    const ben = await second.issue({ commonName: 'ben' });
    shown = { ca: second.cert, cert: ben.cert, key: ben.key };
    await load.goesOn();
    files.write('ca.pem', second.cert);
    await noticed();
    for (const each of cluster.members) {
      assert.equal(await serialAt(each, shown), renewed.serial);
      await assert.rejects(serialAt(each, old));
    }
    await load.goesOn();
  });

  test('a member that starts now meets the others with the new certificates', async () => {
    const member = cluster.members.find(({ clientUrl }) => !endpoints.includes(clientUrl));
    assert(member !== undefined);
    await member.stop('SIGTERM');
    await member.start();
    const asking = new Client({ endpoints: [member.clientUrl], timeoutMs: 20_000, tls: shown });
    await asking.get('load');
    asking.close();
    await load.goesOn();
  });

  test('a revoked client is refused, the others go on', async () => {
    const eve = await second.issue({ commonName: 'eve' });
    for (const each of cluster.members) await serialAt(each, eve);
    files.write('crl.der', await second.revoke([eve.serial]));
    await noticed();
    for (const each of cluster.members) await assert.rejects(serialAt(each, eve));
    await load.goesOn();
  });

  test('in the end: no request failed, and the watch saw every put once', async () => {
    await load.stop();
    assert.deepEqual(load.failures, []);
    const asking = client();
    const { kvs } = await asking.range(keysUnder('load/'));
    const written = kvs.map(({ key }) => Buffer.from(key).toString());
    assert(written.length === load.done && written.length > 100, String(written.length));
    for (let tries = 0; tries < 200 && watched.length < written.length; tries++) await sleep(25);
    assert.deepEqual([...watched].sort(), [...written].sort());
    asking.close();
  });
});
