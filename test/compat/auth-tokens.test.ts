import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { Auth, KV } from '../../server/proto/gen/rpc.ts';
import { needs } from '../support/tools.ts';
import { isWhole } from '../support/whole.ts';
import { type StoreUnderTest, withStores } from './store-under-test.ts';

// A signed token of one store is good on the other, when both have the same keys and have changed their users as often.

const directory = mkdtempSync(join(tmpdir(), 'mainstay-tokens-'));
after(() => rmSync(directory, { recursive: true }));

const options = { ...needs('etcd'), timeout: 60_000 };

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

// EdDSA came with etcd 3.6.
const rsa = (): KeyPair => generateKeyPairSync('rsa', { modulusLength: 2048 });
const kinds: Readonly<Record<string, () => KeyPair>> = {
  PS256: rsa,
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  ...(isWhole
    ? {
        RS384: rsa,
        ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      }
    : {}),
};

for (const [method, make] of Object.entries(kinds)) {
  test(`a token signed by ${method} is good on both stores`, options, async () => {
    const { publicKey, privateKey } = make();
    const [pub, priv] = [join(directory, `${method}.pub`), join(directory, `${method}.key`)];
    writeFileSync(pub, publicKey.export({ type: 'spki', format: 'pem' }));
    writeFileSync(priv, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await exchange(`jwt,sign-method=${method},pub-key=${pub},priv-key=${priv},ttl=10m`);
  });
}

test('a token signed by HS256 is good on both stores', options, async () => {
  const secret = join(directory, 'secret');
  writeFileSync(secret, randomBytes(32));
  await exchange(`jwt,sign-method=HS256,priv-key=${secret}`);
});

function exchange(authToken: string): Promise<void> {
  const flags = ['--bcrypt-cost', '4', '--auth-token', authToken];
  return withStores({ flags }, async (stores) => {
    const tokens = await Promise.all(stores.map(loginAsRoot));
    assert.notEqual(tokens[0], undefined);
    for (const { channel } of stores) {
      for (const token of tokens) {
        const put = await channel.call(KV.methods.put, { key: Buffer.from('k') }, { token });
        assert.equal(put.kind, 'ok', inspect(put));
        const forged = { token: `${token.slice(0, -4)}AAAA` };
        const refused = await channel.call(KV.methods.put, { key: Buffer.from('k') }, forged);
        assert.equal(refused.kind === 'error' && refused.message, 'etcdserver: invalid auth token');
      }
    }
  });
}

async function loginAsRoot({ channel }: StoreUnderTest): Promise<string> {
  const root = { name: 'root', password: 'p' };
  for (const outcome of [
    await channel.call(Auth.methods.userAdd, root),
    await channel.call(Auth.methods.userGrantRole, { user: 'root', role: 'root' }),
    await channel.call(Auth.methods.authEnable, {}),
  ]) {
    assert.equal(outcome.kind, 'ok');
  }
  const login = await channel.call(Auth.methods.authenticate, root);
  assert.ok(login.kind === 'ok');
  return login.response.token;
}
