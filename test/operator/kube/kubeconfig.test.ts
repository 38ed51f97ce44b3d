import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { currentNamespace, loadConnection } from '../../../operator/kube/kubeconfig.ts';

const directory = mkdtempSync(join(tmpdir(), 'mainstay-kubeconfig-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function fileWith(name: string, fields: object): string {
  const path = join(directory, name);
  writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...fields }));
  return path;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');
writeFileSync(join(directory, 'ca.crt'), 'the CA');
writeFileSync(join(directory, 'token'), 'from a file\n');

const main = fileWith('main', {
  'current-context': 'one',
  clusters: [
    { name: 'a', cluster: { server: 'https://a:6443', 'certificate-authority': 'ca.crt' } },
    {
      name: 'b',
      cluster: {
        server: 'https://b',
        'certificate-authority-data': base64('CA of b'),
        'tls-server-name': 'api',
      },
    },
    { name: 'c', cluster: { server: 'http://c', 'insecure-skip-tls-verify': true } },
  ],
  users: [
    { name: 'token', user: { token: 't0ken' } },
    {
      name: 'cert',
      user: { 'client-certificate-data': base64('cert'), 'client-key-data': base64('key') },
    },
    { name: 'file', user: { tokenFile: 'token' } },
    { name: 'basic', user: { username: 'me', password: 'secret' } },
    {
      name: 'exec',
      user: {
        exec: {
          apiVersion: 'client.authentication.k8s.io/v1',
          interactiveMode: 'Never',
          command: 'echo',
          args: [
            JSON.stringify({
              apiVersion: 'client.authentication.k8s.io/v1',
              kind: 'ExecCredential',
              status: { token: 'from a program' },
            }),
          ],
        },
      },
    },
  ],
  contexts: [
    { name: 'one', context: { cluster: 'a', user: 'token', namespace: 'shop' } },
    { name: 'two', context: { cluster: 'b', user: 'cert' } },
    { name: 'plain', context: { cluster: 'c' } },
    { name: 'file', context: { cluster: 'a', user: 'file' } },
    { name: 'basic', context: { cluster: 'a', user: 'basic' } },
    { name: 'exec', context: { cluster: 'a', user: 'exec' } },
  ],
});

async function connect(context?: string) {
  const connection = loadConnection(main, context);
  const options: RequestOptions = { headers: { Accept: 'x' } };
  await connection.authorize(options);
  const { ca, cert, key, servername, rejectUnauthorized, headers } = options;
  const text = (value: unknown) => (value === undefined ? undefined : String(value));
  const authorization = (headers as Record<string, string>)['Authorization'];
  const fields = { ca: text(ca), cert: text(cert), key: text(key), servername };
  return { server: connection.server, ...fields, rejectUnauthorized, authorization };
}

const nothing = {
  ca: undefined,
  cert: undefined,
  key: undefined,
  servername: undefined,
  rejectUnauthorized: undefined,
  authorization: undefined,
};

test('tokens, certificates, files beside the kubeconfig', async () => {
  const a = { ...nothing, server: 'https://a:6443', ca: 'the CA' };
  assert.deepEqual(await connect(), { ...a, authorization: 'Bearer t0ken' });
  const b = { server: 'https://b', ca: 'CA of b', servername: 'api' };
  assert.deepEqual(await connect('two'), { ...nothing, ...b, cert: 'cert', key: 'key' });
  assert.deepEqual(await connect('file'), { ...a, authorization: 'Bearer from a file' });
  assert.deepEqual(await connect('basic'), {
    ...a,
    authorization: `Basic ${base64('me:secret')}`,
  });
  const plain = { ...nothing, server: 'http://c', rejectUnauthorized: false };
  assert.deepEqual(await connect('plain'), plain);
});

test('a user who logs in by a program', async () => {
  assert.equal((await connect('exec')).authorization, 'Bearer from a program');
});

test('the namespace is that of the context', () => {
  assert.equal(currentNamespace(main), 'shop');
  assert.equal(currentNamespace(main, 'two'), undefined);
});

test('of several files the first that names something counts', () => {
  const first = fileWith('first', {
    'current-context': 'two',
    clusters: [{ name: 'b', cluster: { server: 'https://other' } }],
  });
  process.env['KUBECONFIG'] = [join(directory, 'not there'), first, main].join(delimiter);
  try {
    assert.equal(loadConnection(undefined).server, 'https://other');
    assert.equal(loadConnection(undefined, 'one').server, 'https://a:6443');
  } finally {
    delete process.env['KUBECONFIG'];
  }
});

test('what is wrong is said', () => {
  assert.throws(() => loadConnection(main, 'none'), /no context "none"; it has: one, two, plain/);
  assert.throws(
    () => loadConnection(fileWith('empty', {})),
    /the kubeconfig has no current context with a cluster/,
  );
  assert.throws(() => loadConnection(join(directory, 'not there')), /ENOENT/);
});
