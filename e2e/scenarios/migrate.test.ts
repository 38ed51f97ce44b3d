import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import type { StoreClusterSpec } from '../../operator/api/types.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { mirrorLabel } from '../../operator/resources/labels.ts';
import { Client, type ClientOptions } from '../../server/client/client.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { Authority, Files } from '../../test/support/certificates.ts';
import { TestCluster } from '../../test/support/server-process.ts';
import type { TcpProxy } from '../../test/support/tcp-proxy.ts';
import { needs } from '../../test/support/tools.ts';
import { Application, textOf } from './application.ts';
import { openGate } from './backup-place.ts';
import { type Stage, scenario } from './scenario.ts';
import { Secrets } from './secrets.ts';
import type { TestedCluster } from './store-cluster.ts';
import { until } from './waiting.ts';

const { skip } = needs('etcd');
const reactMsMax = 120_000;
const cutOverMsMax = 180_000;
const clientMs = 2_000;

/** A real etcd, and how everybody reaches it. */
interface Source {
  readonly gate: TcpProxy;
  /** Of the application, and of who looks. */
  readonly client: ClientOptions;
  readonly mirrorFrom: NonNullable<NonNullable<StoreClusterSpec['bootstrap']>['mirrorFrom']>;
  close(): Promise<void>;
}

/** What the store has beside `bootstrap`, and how the application comes to it. */
interface Destination {
  readonly spec: Partial<StoreClusterSpec>;
  readonly access: (cluster: TestedCluster) => Promise<ClientOptions>;
}

scenario(
  'a live application moves from etcd to a StoreCluster',
  { skip, isLong: true },
  async (stage) => {
    const source = await plainSource();
    try {
      await move(stage, source, {
        spec: {},
        access: async (cluster) => ({ endpoints: [await cluster.endpoint()] }),
      });
    } finally {
      await source.close();
    }
  },
);

scenario(
  'a live application moves from an etcd with TLS and users to a StoreCluster with both, the operator killed in the middle',
  { skip, isLong: true, killsOperator: true },
  async (stage) => {
    const secrets = new Secrets(stage.environment);
    await secrets.put('root-password', { password: 'of root' });
    const files = new Files();
    const source = await securedSource(files, secrets);
    try {
      await move(stage, source, {
        spec: {
          tls: { client: { verifyClients: true }, peer: {} },
          auth: {
            rootPassword: { name: 'root-password' },
            roles: [{ name: 'app', permissions: [{ access: 'ReadWrite', prefix: 'app/' }] }],
            users: [{ name: 'app', roles: ['app'] }],
          },
        },
        access: async (cluster) => {
          const { namespace } = stage.environment;
          const endpoint = (await cluster.endpoint()).replace('http:', 'https:');
          const found = await secrets.get(`${cluster.name}-app-connection`);
          const of = (key: string) => found.get(key)?.toString() ?? '';
          const serverName = `${cluster.name}.${namespace}.svc`;
          return {
            endpoints: [endpoint],
            tls: { serverName, ca: of('ca.crt'), cert: of('tls.crt'), key: of('tls.key') },
            credentials: { username: of('username'), password: of('password') },
          };
        },
      });
    } finally {
      await source.close();
      files.remove();
    }
  },
);

async function move(stage: Stage, source: Source, destination: Destination): Promise<void> {
  const application = new Application({ ...source.client, timeoutMs: clientMs });
  const cluster = stage.cluster('moved');
  try {
    await application.start();
    await application.untilMore(50);
    await stage.measure('three members that follow', async () => {
      await cluster.create({ ...destination.spec, bootstrap: { mirrorFrom: source.mirrorFrom } });
      await untilFollowed(cluster, source);
    });
    await disturb(stage, { cluster, source, application });
    await cutOver(stage, cluster, application);
    await assertEqual(cluster, source, await destination.access(cluster));
    const copied = await newestOf(await destination.access(cluster));
    await leavesNothingBehind(stage, cluster);
    application.moveTo({ ...(await destination.access(cluster)), timeoutMs: clientMs });
    await application.start();
    await application.untilMore(200);
    await cluster.deletePod((await cluster.follower()).name, 0);
    await application.untilMore(50);
    await application.stop();
    await application.verify();
    await application.verifyHistory(copied);
    stage.note(`${application.count} writes, each there once`);
  } finally {
    application.close();
  }
}

/** Whatever comes to nothing of it must not come to the application's writes. */
async function disturb(
  stage: Stage,
  at: { cluster: TestedCluster; source: Source; application: Application },
): Promise<void> {
  const { cluster, source, application } = at;
  const follower = objectPath('Pod', {
    namespace: stage.environment.namespace,
    name: `${cluster.name}-mirror`,
  });
  await application.untilMore(50);
  await stage.measure('the pod of the mirror is killed', async () => {
    await stage.environment.remove(follower, 0);
    await untilFollowed(cluster, source);
  });
  await stage.measure('the leader is killed', async () => {
    await cluster.deletePod((await cluster.leader()).name, 0);
    await application.untilMore(50);
    await cluster.untilSettled(3);
    await untilFollowed(cluster, source);
  });
  await stage.measure('connections to the source are cut', async () => {
    source.gate.cut();
    await application.untilMore(50);
    await untilFollowed(cluster, source);
  });
}

async function cutOver(
  stage: Stage,
  cluster: TestedCluster,
  application: Application,
): Promise<void> {
  await cluster.edit({ bootstrap: { mirrorFrom: { cutOver: true } } });
  await cluster.untilSaid(
    /Not cut over: the source was written to .*Stop the application's writes/,
    cutOverMsMax,
  );
  assert.equal((await cluster.get()).status?.mirror?.phase, 'CuttingOver');
  const { count } = application;
  await application.stop();
  assert.ok(count > 0 && application.count >= count);
  await stage.measure('cut over', () => untilPhase(cluster, 'Done', cutOverMsMax));
  await cluster.untilSaid(
    /The store is on its own: at revision \d+ of the source, \d+ keys and 3 leases were equal/,
  );
}

async function untilPhase(cluster: TestedCluster, phase: string, timeoutMs: number): Promise<void> {
  let seen = '';
  await until(
    `the mirror of ${cluster.name} is ${phase}`,
    timeoutMs,
    async () => {
      const { status } = await cluster.get();
      seen = JSON.stringify([status?.mirror, status?.plan]);
      return status?.mirror?.phase === phase;
    },
    () => seen,
  );
}

/** What the source has now is at the store, by the status. */
async function untilFollowed(cluster: TestedCluster, source: Source): Promise<void> {
  const newest = await newestOf(source.client);
  let seen = '';
  await until(
    `${cluster.name} has followed up to revision ${newest}`,
    reactMsMax,
    async () => {
      const { status } = await cluster.get();
      const { mirror } = status ?? {};
      seen = JSON.stringify([mirror, status?.plan, status?.ready]);
      return mirror?.phase === 'Following' && (mirror.revision ?? 0) >= newest;
    },
    () => seen,
  );
}

/** Everything that one user may see of it, key by key. */
async function assertEqual(
  cluster: TestedCluster,
  source: Source,
  access: ClientOptions,
): Promise<void> {
  const [there, here] = await Promise.all([contentOf(source.client), contentOf(access)]);
  assert.deepEqual(here, there, `${cluster.name} has what the source has`);
  assert.ok(here.length > 10);
}

async function contentOf(options: ClientOptions): Promise<readonly unknown[]> {
  const client = new Client(options);
  try {
    const { kvs } = await client.range(keysUnder('app/'));
    return kvs.map(({ key, value, lease }) => [textOf(key), textOf(value), lease]);
  } finally {
    client.close();
  }
}

async function newestOf(options: ClientOptions): Promise<number> {
  const client = new Client(options);
  try {
    return (await client.range(keysUnder('app/'), { limit: 1 })).header.revision;
  } finally {
    client.close();
  }
}

async function leavesNothingBehind(stage: Stage, cluster: TestedCluster): Promise<void> {
  const { kube, namespace } = stage.environment;
  await cluster.untilSettled(3);
  await until('the pods of the mirror are gone', reactMsMax, async () => {
    const query = { labelSelector: `${mirrorLabel}=${cluster.name}` };
    const path = collectionPath('Pod', namespace);
    const { items } = await kube.list<{ items: readonly unknown[] }>(path, query);
    return items.length === 0;
  });
}

async function plainSource(): Promise<Source> {
  const etcd = await TestCluster.start({ program: 'etcd' });
  const gate = await openGate(etcd.member(0).clientUrl);
  return {
    gate,
    client: { endpoints: etcd.endpoints },
    mirrorFrom: { endpoints: [gate.url] },
    close: async () => {
      await gate.close();
      await etcd.stop();
    },
  };
}

/** It wants a certificate of whoever comes, and a user besides. */
async function securedSource(files: Files, secrets: Secrets): Promise<Source> {
  const authority = await Authority.create('ca of the old one');
  const caFile = files.write('ca.pem', authority.cert);
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const hosts = ['localhost', '127.0.0.1', ...addresses.map(({ address }) => address)];
  const { certFile, keyFile } = files.writePair('member', await authority.issue({ hosts }));
  // No user of this name: who comes is known by the password.
  const pair = await authority.issue({ hosts: [] });
  const etcd = await TestCluster.start({
    program: 'etcd',
    schemes: { client: 'https' },
    flags: [
      `--cert-file=${certFile}`,
      `--key-file=${keyFile}`,
      `--trusted-ca-file=${caFile}`,
      '--client-cert-auth=true',
    ],
  });
  const tls = { ca: authority.cert, cert: pair.cert, key: pair.key };
  const root = { username: 'root', password: 'secret' };
  await addUsers({ endpoints: etcd.endpoints, tls });
  const gate = await openGate(etcd.member(0).clientUrl);
  await secrets.put('old-tls', { 'ca.crt': tls.ca, 'tls.crt': tls.cert, 'tls.key': tls.key });
  await secrets.put('old-user', { username: 'reader', password: 'word\n' });
  return {
    gate,
    client: { endpoints: etcd.endpoints, tls, credentials: root },
    mirrorFrom: {
      endpoints: [gate.url],
      prefix: 'app/',
      tls: { secretName: 'old-tls' },
      user: { secretName: 'old-user' },
    },
    close: async () => {
      await gate.close();
      await etcd.stop();
    },
  };
}

/** One who may read what the application writes, and root. */
async function addUsers(options: ClientOptions): Promise<void> {
  const client = new Client(options);
  try {
    const { auth } = client;
    await auth.userAdd('root', 'secret');
    await auth.userGrantRole({ user: 'root', role: 'root' });
    await auth.roleAdd('copies');
    await auth.roleGrantPermission('copies', { access: 'read', keys: keysUnder('app/') });
    await auth.userAdd('reader', 'word');
    await auth.userGrantRole({ user: 'reader', role: 'copies' });
    await auth.enable();
  } finally {
    client.close();
  }
}
