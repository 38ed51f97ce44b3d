import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadAll } from 'js-yaml';
import type { KubeObject } from '../../operator/api/objects.ts';
import type { StoreClusterSpec } from '../../operator/api/types.ts';
import { collectionPath } from '../../operator/kube/paths.ts';
import { pemCertificates } from '../../operator/resources/secret-facts.ts';
import { Client, type ClientOptions } from '../../server/client/client.ts';
import { needs, toolPath } from '../../test/support/tools.ts';
import { root } from './definition.ts';
import type { Environment } from './environment.ts';
import { Newcomer, patientMs } from './newcomer.ts';
import { type Stage, scenario } from './scenario.ts';
import { Secrets } from './secrets.ts';
import type { TestedCluster } from './store-cluster.ts';
import { until } from './waiting.ts';

const run = promisify(execFile);
const reactMsMax = 300_000;
const user = 'application';

/** The example, with what the clients here need besides. */
function exampleSpec(): StoreClusterSpec {
  const [cluster] = exampleObjects();
  const { spec } = cluster as unknown as { spec: StoreClusterSpec };
  const { auth } = spec;
  assert.ok(auth?.users?.length === 1 && auth.roles?.length === 1);
  const load = { name: 'load', permissions: [{ access: 'ReadWrite' as const, prefix: 'load/' }] };
  const users = auth.users.map((each) => ({
    ...each,
    password: { name: 'its-password' },
    roles: [...(each.roles ?? []), 'load'],
  }));
  const guest = { name: 'guest', roles: ['load'] };
  return { ...spec, auth: { ...auth, roles: [...auth.roles, load], users: [...users, guest] } };
}

function exampleObjects(): readonly KubeObject[] {
  return loadAll(
    readFileSync(join(root, 'examples/application/application.yaml'), 'utf8'),
  ) as KubeObject[];
}

const changes = 'certificates, CA, passwords and users change under an application';
const { skip } = needs('etcdctl');

scenario(changes, { isLong: true, skip }, playChanges);
scenario(
  `${changes}, the operator killed in the middle`,
  { isLong: true, skip, killsOperator: true },
  playChanges,
);

async function playChanges(stage: Stage): Promise<void> {
  const { environment } = stage;
  const secrets = new Secrets(environment);
  await secrets.put('root-password', { password: 'of root\n' });
  await secrets.put('its-password', { password: 'first' });
  const cluster = stage.cluster('shop');
  await stage.measure('three members with TLS and users', async () => {
    await cluster.create(exampleSpec());
    await cluster.untilSettled(3);
  });
  const endpoint = (await cluster.endpoint()).replace('http:', 'https:');
  const { namespace } = environment;
  const options = clientOptions(secrets, { name: `shop-${user}-connection`, namespace });
  await startApplication(environment);
  const load = await stage.load(cluster, { endpoint, timeoutMs: patientMs, ...options });
  const newcomer = new Newcomer({ endpoints: [endpoint], ...options }, 'load/newcomer');
  try {
    await keepsOthersOut(endpoint, secrets);
    await newNames(stage, cluster, { secrets, endpoint });
    await newCertificate(stage, cluster, secrets);
    await newAuthority(stage, cluster, secrets);
    await newPassword(stage, cluster, { secrets, endpoint });
    await removedUser(stage, cluster, { secrets, endpoint });
    await load.untilMore(20);
  } finally {
    await newcomer.stop();
  }
  stage.note(`${newcomer.count} clients came anew, each with its own connection and login`);
  assert.deepEqual(newcomer.failures, [], 'every newcomer was let in');
  assert.equal(load.failures, 0, 'no call of a client that stayed has failed');
  await seesNothing(environment);
}

/** Read anew each time, as an application reads its files. */
function clientOptions(
  secrets: Secrets,
  { name, namespace }: { readonly name: string; readonly namespace: string },
): Pick<ClientOptions, 'tls' | 'credentials'> {
  return {
    tls: async () => tlsOf(await secrets.get(name), namespace),
    credentials: async () => loginsOf(await secrets.get(name)),
  };
}

type Entries = ReadonlyMap<string, Buffer>;

function tlsOf(entries: Entries, namespace: string) {
  const of = (key: string) => entries.get(key)?.toString();
  const serverName = `shop.${namespace}.svc`;
  return { serverName, ca: of('ca.crt'), cert: of('tls.crt'), key: of('tls.key') };
}

function loginsOf(entries: Entries) {
  const username = String(entries.get('username'));
  const passwords = [entries.get('password'), entries.get('previous-password')];
  return passwords.flatMap((each) =>
    each === undefined ? [] : [{ username, password: each.toString() }],
  );
}

async function startApplication(environment: Environment): Promise<void> {
  const [, pod] = exampleObjects();
  assert.ok(pod !== undefined);
  const { kube, namespace, images } = environment;
  const text = JSON.stringify(pod).replace(/"image":"[^"]*"/, `"image":"${images.now}"`);
  const object = JSON.parse(text) as KubeObject;
  await kube.create(collectionPath('Pod', namespace), {
    ...object,
    metadata: { ...object.metadata, namespace },
  });
  await until('the application beats', reactMsMax, async () =>
    /beat \d+, 0 failed/.test(await environment.podLog('application').catch(() => '')),
  );
}

/** Without a certificate, and without a user. */
async function keepsOthersOut(endpoint: string, secrets: Secrets): Promise<void> {
  const entries = await secrets.get(`shop-${user}-connection`);
  const ca = entries.get('ca.crt');
  const refused = async (options: Omit<ClientOptions, 'endpoints'>): Promise<string> => {
    const client = new Client({ endpoints: [endpoint], timeoutMs: 5_000, ...options });
    try {
      await client.put('load/x', 'x');
      return 'let in';
    } catch (error) {
      return String(error);
    } finally {
      client.close();
    }
  };
  const serverName = 'localhost';
  assert.match(await refused({ tls: { ca, serverName } }), /certificate required|cannot connect/);
  const [cert, key] = [entries.get('tls.crt'), entries.get('tls.key')];
  const credentials = { username: user, password: 'wrong' };
  assert.match(
    await refused({ tls: { ca, cert, key, serverName }, credentials }),
    /authentication failed/,
  );
}

interface Outside {
  readonly secrets: Secrets;
  readonly endpoint: string;
}

/** A name more in the spec, and etcdctl gets through by it, with the files of the connection Secret. */
async function newNames(
  stage: Stage,
  cluster: TestedCluster,
  { secrets, endpoint }: Outside,
): Promise<void> {
  const { hostname } = new URL(endpoint);
  await stage.measure('a certificate for another address', async () => {
    await cluster.edit({ tls: { client: { verifyClients: true, names: [hostname] }, peer: {} } });
    await untilShown(cluster, async () => isFor(await shown(secrets), hostname));
  });
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-etcdctl-'));
  try {
    const entries = await secrets.get(`shop-${user}-connection`);
    for (const [name, content] of entries) writeFileSync(join(directory, name), content);
    const file = (name: string) => join(directory, name);
    const etcdctl = async (...args: string[]) => {
      const flags = [
        `--endpoints=${endpoint}`,
        `--cacert=${file('ca.crt')}`,
        `--cert=${file('tls.crt')}`,
        `--key=${file('tls.key')}`,
        `--user=${user}:${entries.get('password')}`,
      ];
      return (await run(toolPath('etcdctl'), [...flags, ...args])).stdout;
    };
    // The members have the new certificate in their mounts a little later than the Secret does.
    await until('etcdctl is let in', reactMsMax, async () => {
      return (await etcdctl('put', 'load/by-etcdctl', '1').catch(() => '')) === 'OK\n';
    });
    assert.equal(await etcdctl('get', 'load/by-etcdctl'), 'load/by-etcdctl\n1\n');
    await assert.rejects(etcdctl('get', 'elsewhere'), /permission denied/);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function shown(secrets: Secrets, name = 'shop-client-tls'): Promise<X509Certificate> {
  return new X509Certificate((await secrets.get(name)).get('tls.crt') ?? '');
}

function isFor(certificate: X509Certificate, host: string): boolean {
  return (certificate.checkIP(host) ?? certificate.checkHost(host)) !== undefined;
}

async function untilShown(cluster: TestedCluster, isSo: () => Promise<boolean>): Promise<void> {
  await until('the Secret is as it should be', reactMsMax, () => isSo().catch(() => false));
  await cluster.untilSettled(3);
}

/** The Secret of the members' certificate is gone: it comes back with another one of the same CA. */
async function newCertificate(
  stage: Stage,
  cluster: TestedCluster,
  secrets: Secrets,
): Promise<void> {
  const before = await shown(secrets);
  await stage.measure('another certificate', async () => {
    await stage.environment.remove(secrets.path('shop-client-tls'));
    await untilShown(cluster, async () => {
      const now = await shown(secrets);
      return now.serialNumber !== before.serialNumber && now.issuer === before.issuer;
    });
  });
}

async function newAuthority(stage: Stage, cluster: TestedCluster, secrets: Secrets): Promise<void> {
  const names = [
    'shop-client-tls',
    'shop-peer-tls',
    'shop-operator-tls',
    `shop-${user}-connection`,
  ];
  const before = await Promise.all(names.map((name) => shown(secrets, name)));
  await stage.measure('another CA', async () => {
    await cluster.edit({ tls: { rotateCA: 'now' } });
    await untilShown(cluster, async () => {
      const now = await Promise.all(names.map((name) => shown(secrets, name)));
      const trusted = await Promise.all(names.map((name) => trustedIn(secrets, name)));
      const isNew = now.every(({ issuer }, at) => issuer !== before[at]?.issuer);
      return isNew && trusted.every((count) => count === 1);
    });
  });
}

async function trustedIn(secrets: Secrets, name: string): Promise<number> {
  return pemCertificates(String((await secrets.get(name)).get('ca.crt'))).length;
}

async function newPassword(
  stage: Stage,
  cluster: TestedCluster,
  { secrets, endpoint }: Outside,
): Promise<void> {
  await stage.measure('other passwords', async () => {
    await secrets.put('its-password', { password: 'second' });
    await secrets.put('root-password', { password: 'of root, too' });
    await untilShown(cluster, async () => {
      const entries = await secrets.get(`shop-${user}-connection`);
      return String(entries.get('password')) === 'second';
    });
    for (const [username, password] of [
      [user, 'second'],
      ['root', 'of root, too'],
    ] as const) {
      await until(`${username} is let in by the new password`, reactMsMax, () =>
        isLetIn({ secrets, endpoint }, { username, password }),
      );
    }
    await cluster.untilSettled(3);
  });
}

async function isLetIn(
  { secrets, endpoint }: Outside,
  credentials: { readonly username: string; readonly password: string },
): Promise<boolean> {
  // Of the members' CA, with a certificate of nobody's in particular: the login counts.
  const entries = await secrets.get(`shop-${user}-connection`);
  const of = (key: string) => entries.get(key)?.toString();
  const tls = {
    serverName: 'localhost',
    ca: of('ca.crt'),
    cert: of('tls.crt'),
    key: of('tls.key'),
  };
  const client = new Client({ endpoints: [endpoint], tls, credentials });
  try {
    await client.put('load/login', credentials.username);
    return true;
  } catch {
    // Not yet.
    return false;
  } finally {
    client.close();
  }
}

async function removedUser(
  stage: Stage,
  cluster: TestedCluster,
  { secrets, endpoint }: Outside,
): Promise<void> {
  const { namespace } = stage.environment;
  const entries = await secrets.get('shop-guest-connection');
  const [credentials] = loginsOf(entries);
  const tls = tlsOf(entries, namespace);
  const guest = new Client({ endpoints: [endpoint], tls, credentials });
  try {
    await guest.put('load/guest', '1');
    const { auth } = exampleSpec();
    await cluster.edit({
      auth: { ...auth, users: auth?.users?.filter(({ name }) => name !== 'guest') },
    });
    await until('the Secret of the guest is gone', reactMsMax, async () => {
      return !(await secrets.has('shop-guest-connection'));
    });
    await cluster.untilSettled(3);
    await assert.rejects(
      guest.put('load/guest', '2'),
      /authentication failed|permission denied|invalid auth token/,
    );
  } finally {
    guest.close();
  }
}

/** The application went on through all of it. */
async function seesNothing(environment: Environment): Promise<void> {
  const log = await environment.podLog('application');
  assert.doesNotMatch(log, /beat \d+ failed/);
  assert.match(log.trimEnd().split('\n').at(-1) ?? '', /^beat \d{2,}, 0 failed$/);
}
