import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect } from 'node:tls';
import { promisify } from 'node:util';
import { Authority, Files, type Subject, tlsFlags } from '../support/certificates.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { freePort, type MemberProcess, TestCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { eventually, Store, startOptions, withStore } from './support.ts';

// Acceptance cases 72 and 93: how a cluster begins, and TLS.

const run = promisify(execFile);
const files = new Files();
let authority: Authority | undefined;
let ca = '';

before(async () => {
  authority = await Authority.create('ca');
  ca = files.write('ca.pem', authority.cert);
});
after(() => files.remove());

async function issue(name: string, subject: Subject = {}) {
  assert(authority !== undefined);
  const pair = await authority.issue({ commonName: name, ...subject });
  return { ...files.writePair(name, pair), serial: pair.serial };
}

/** Flags of etcdctl for the holder of a certificate. */
function shown({ certFile, keyFile }: { certFile: string; keyFile: string }): string[] {
  return ['--cacert', ca, '--cert', certFile, '--key', keyFile];
}

const https = { client: 'https' } as const;

async function clientFlags(name: string): Promise<string[]> {
  const pair = await issue(name);
  return tlsFlags(pair, ca).filter((flag) => !flag.startsWith('--peer-'));
}

/** The version that a handshake ends with, or why there is none. */
function handshake({ clientUrl }: MemberProcess, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(clientUrl);
    const socket = connect({
      host: hostname,
      port: Number(port),
      rejectUnauthorized: false,
      ...options,
    });
    socket.once('secureConnect', () => {
      resolve(socket.getProtocol() ?? '');
      socket.destroy();
    });
    socket.once('error', (error) => resolve(error.message));
  });
}

const ctlTool = needs('etcdctl');

test('72 TestEtcdMultiPeer', async () => {
  const cluster = await TestCluster.prepare(startOptions({ size: 3 }));
  const store = new Store(cluster);
  try {
    for (const member of cluster.members) {
      // Listening in two places, known by one.
      const more = `http://127.0.0.1:${await freePort()}`;
      const listening = `--listen-peer-urls=${member.peerUrl},${more}`;
      member.spawn([...cluster.flagsFor('new'), listening]);
    }
    await Promise.all(cluster.members.map((member) => member.ready()));
    await store.at(0).put('foo', 'bar');
    assert.deepEqual(await store.at(2).values('foo'), ['bar']);
  } finally {
    await store.stop();
  }
});

test('72 TestEtcdPeerCNAuth', ctlTool, async () => {
  const [good, bad] = [await issue('example.com'), await issue('example2.com')];
  const cluster = await TestCluster.prepare({
    ...startOptions({ size: 3 }),
    schemes: { peer: 'https' },
  });
  try {
    const [, , stranger] = cluster.members;
    for (const member of cluster.members) {
      const pair = member === stranger ? bad : good;
      member.spawn([
        ...cluster.flagsFor('new'),
        ...tlsFlags(pair, ca).filter((flag) => flag.startsWith('--peer-')),
        `--peer-cert-allowed-cn=${member === stranger ? 'example2.com' : 'example.com'}`,
      ]);
    }
    const allowed = cluster.members.filter((member) => member !== stranger);
    await Promise.all(allowed.map((member) => member.ready()));
    const endpoints = allowed.map(({ clientUrl }) => clientUrl);
    const ctl = new Etcdctl(cluster);
    assert.equal((await ctl.run(['put', 'foo', 'bar'], { endpoints })).stdout, 'OK\n');
    await sleep(500);
    // Nobody talks to the third, and it serves nobody.
    assert(stranger !== undefined && !stranger.log.includes('ready to serve client requests'));
    assert.match(stranger.log, /rejected connection|certificate/i);
  } finally {
    await cluster.stop();
  }
});

test('93 TestTLSReloadAtomicReplace, TestTLSReloadCopy', ctlTool, async () => {
  const client = await issue('client');
  const flags = await clientFlags('reloaded');
  await withStore({ schemes: https, flags }, async (store) => {
    const ctl = new Etcdctl(store.cluster, shown(client));
    const watch = ctl.start(['watch', 'foo']);
    const put = async (): Promise<boolean> => {
      const { stdout } = await ctl.run(['--command-timeout=2s', 'put', 'foo', 'bar']);
      return stdout === 'OK\n';
    };
    assert(await put());
    // One that is over: new connections fail, those that there are go on.
    await issue('reloaded', { validFrom: -48, validTo: -24 });
    await eventually(async () => assert.equal(await put(), false));
    // And one that is good again, without a restart.
    await issue('reloaded');
    await eventually(async () => assert(await put()));
    await watch.lines(3);
    watch.interrupt();
    await watch.finished();
  });
});

test('93 TestTLSReloadCopyIPOnly', ctlTool, async () => {
  const client = await issue('client');
  const pair = await issue('ip-only', { hosts: ['127.0.0.1'] });
  const flags = tlsFlags(pair, ca).filter((flag) => !flag.startsWith('--peer-'));
  await withStore({ schemes: https, flags }, async (store) => {
    const ctl = new Etcdctl(store.cluster, shown(client));
    const put = async (): Promise<boolean> =>
      (await ctl.run(['--command-timeout=2s', 'put', 'foo', 'bar'])).stdout === 'OK\n';
    assert(await put());
    await issue('ip-only', { hosts: ['10.0.0.1'] });
    await eventually(async () => assert.equal(await put(), false));
    await issue('ip-only', { hosts: ['127.0.0.1'] });
    await eventually(async () => assert(await put()));
  });
});

test('93 TestEtcdTLSVersion', async () => {
  const flags = [
    ...(await clientFlags('versions')),
    '--tls-min-version=TLS1.3',
    '--tls-max-version=TLS1.3',
  ];
  const { certFile, keyFile } = await issue('client');
  await withStore({ schemes: https, flags }, async (store) => {
    const member = store.cluster.member(0);
    const own = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
    assert.equal(await handshake(member, { ...own, minVersion: 'TLSv1.3' }), 'TLSv1.3');
    assert.match(await handshake(member, { ...own, maxVersion: 'TLSv1.2' }), /protocol version/);
  });
});

test('93 TestCurlV3CipherSuitesValid, TestCurlV3CipherSuitesMismatch', needs('curl'), async () => {
  const suite = 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256';
  const flags = [
    ...(await clientFlags('suites')),
    `--cipher-suites=${suite}`,
    '--tls-max-version=TLS1.2',
  ];
  const client = await issue('client');
  await withStore({ schemes: https, flags }, async (store) => {
    const { clientUrl } = store.cluster.member(0);
    const curl = (ciphers: string) =>
      run(toolPath('curl'), [
        '-sS',
        '--max-time',
        '10',
        '--tls-max',
        '1.2',
        '--ciphers',
        ciphers,
        ...shown(client),
        `${clientUrl}/version`,
      ]);
    assert.match((await curl('ECDHE-ECDSA-AES128-GCM-SHA256')).stdout, /"etcdserver":"3\./);
    await assert.rejects(curl('ECDHE-ECDSA-AES256-GCM-SHA384'), /handshake/);
  });
});

test('93 TestCtlV3GetRevokedCRL', ctlTool, async () => {
  const [good, revoked] = [await issue('good'), await issue('revoked')];
  assert(authority !== undefined);
  const list = files.write('revoked.crl', await authority.revoke([revoked.serial]));
  const flags = [...(await clientFlags('crl')), `--client-crl-file=${list}`];
  await withStore({ schemes: https, flags }, async (store) => {
    const put = async (who: { certFile: string; keyFile: string }) =>
      new Etcdctl(store.cluster, shown(who)).run(['--command-timeout=2s', 'put', 'k', 'v']);
    const refused = await put(revoked);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /context deadline exceeded|certificate/);
    assert.equal((await put(good)).stdout, 'OK\n');
  });
});

test('93 TestTLSGRPCRejectInsecureClient, TestTLSGRPCAcceptSecureAll', ctlTool, async () => {
  const client = await issue('client');
  const flags = await clientFlags('strict');
  await withStore({ schemes: https, flags }, async (store) => {
    const { clientUrl } = store.cluster.member(0);
    const plain = { endpoints: [clientUrl.replace('https:', 'http:')] };
    const refused = await new Etcdctl(store.cluster).run(
      ['--command-timeout=2s', 'put', 'k', 'v'],
      plain,
    );
    assert.notEqual(refused.code, 0);
    const nameless = await new Etcdctl(store.cluster, ['--cacert', ca]).run([
      '--command-timeout=2s',
      'put',
      'k',
      'v',
    ]);
    assert.notEqual(nameless.code, 0);
    const accepted = await new Etcdctl(store.cluster, shown(client)).run(['put', 'k', 'v']);
    assert.equal(accepted.stdout, 'OK\n');
  });
});
