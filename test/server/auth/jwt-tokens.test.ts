import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { type JwtOptions, JwtTokens, type SignMethod } from '../../../server/auth/jwt-tokens.ts';

const clock = { now: 1_700_000_000_000, wallMs: () => clock.now };
const caller = { username: 'u', authRevision: 7 };

interface KeyPair {
  readonly publicKey: Buffer;
  readonly privateKey: Buffer;
}

function pem(pair: ReturnType<typeof generateKeyPairSync>): KeyPair {
  return {
    publicKey: Buffer.from(pair.publicKey.export({ type: 'spki', format: 'pem' })),
    privateKey: Buffer.from(pair.privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}

const rsa = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }) as never);
const otherRsa = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }) as never);
const ec = {
  ES256: pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }) as never),
  ES384: pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }) as never),
  ES512: pem(generateKeyPairSync('ec', { namedCurve: 'P-521' }) as never),
};
const ed = pem(generateKeyPairSync('ed25519') as never);
const secret = { publicKey: undefined, privateKey: randomBytes(32) };

const keys: Record<SignMethod, { publicKey: Buffer | undefined; privateKey: Buffer }> = {
  HS256: secret,
  HS384: secret,
  HS512: secret,
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ...ec,
  EdDSA: ed,
};

function tokensOf(signMethod: SignMethod, options: Partial<JwtOptions> = {}): JwtTokens {
  return new JwtTokens({ clock }, { signMethod, ...keys[signMethod], ttlMs: 60_000, ...options });
}

suite('jwt', () => {
  for (const signMethod of Object.keys(keys) as SignMethod[]) {
    test(`${signMethod}: what is signed is verified, what was changed is not`, () => {
      const tokens = tokensOf(signMethod);
      const token = tokens.issue(caller);
      assert.deepEqual(tokens.callerOf(token), caller);
      const [head = '', body = '', signature = ''] = token.split('.');
      assert.deepEqual(JSON.parse(Buffer.from(head, 'base64url').toString()), {
        alg: signMethod,
        typ: 'JWT',
      });
      const forged = Buffer.from(body, 'base64url').toString().replace('"u"', '"root"');
      const parts = [head, Buffer.from(forged).toString('base64url'), signature];
      assert.equal(tokens.callerOf(parts.join('.')), undefined);
      assert.equal(tokens.callerOf(`${head}.${body}.`), undefined);
    });
  }

  test('ends with its time', () => {
    const tokens = tokensOf('RS256');
    const token = tokens.issue(caller);
    clock.now += 59_000;
    assert.deepEqual(tokens.callerOf(token), caller);
    clock.now += 1_000;
    assert.equal(tokens.callerOf(token), undefined);
  });

  test('with the public key alone it verifies, and issues none', () => {
    const verifier = tokensOf('ES256', { privateKey: undefined });
    assert.deepEqual(verifier.callerOf(tokensOf('ES256').issue(caller)), caller);
    assert.throws(() => verifier.issue(caller), /token signing attempted with verify-only key/);
  });

  test('only the method that is set counts, whatever the token says', () => {
    const verifier = tokensOf('RS256');
    assert.equal(verifier.callerOf(tokensOf('RS512').issue(caller)), undefined);
    assert.equal(verifier.callerOf(tokensOf('PS256').issue(caller)), undefined);
    const claims = { username: 'root', revision: 7, exp: clock.now / 1000 + 60 };
    assert.equal(verifier.callerOf(signedByHand({ alg: 'none' }, claims, '')), undefined);
    // The public key, which everybody may know, is no secret to sign with (CVE-2015-9235 of other libraries).
    const confused = signedByHand({ alg: 'HS256' }, claims, rsa.publicKey);
    assert.equal(verifier.callerOf(confused), undefined);
    assert.equal(
      verifier.callerOf(signedByHand({ alg: 'RS256' }, claims, rsa.publicKey)),
      undefined,
    );
  });

  test('claims have to be there, and of their types', () => {
    const tokens = tokensOf('HS256');
    const read = (claims: unknown) =>
      tokens.callerOf(signedByHand({ alg: 'HS256' }, claims, secret.privateKey));
    assert.deepEqual(read({ username: 'u', revision: 7 }), caller, 'without an end it has none');
    const nowSeconds = clock.now / 1000;
    assert.deepEqual(read({ username: 'u', revision: 7.9, nbf: nowSeconds }), caller);
    for (const claims of [
      { revision: 7 },
      { username: 7, revision: 7 },
      { username: 'u' },
      { username: 'u', revision: '7' },
      { username: 'u', revision: -1 },
      { username: 'u', revision: 7, exp: 'never' },
      { username: 'u', revision: 7, nbf: nowSeconds + 1 },
      [],
      null,
    ]) {
      assert.equal(read(claims), undefined, JSON.stringify(claims));
    }
    for (const garbage of ['', '.', '..', 'a.b.c', '=.=.=', 'e30.e30.']) {
      assert.equal(tokens.callerOf(garbage), undefined, garbage);
    }
  });

  test('keys that are of no use are refused at the start', () => {
    const { publicKey, privateKey } = rsa;
    const cases: readonly (readonly [SignMethod, Partial<JwtOptions>, RegExp])[] = [
      ['RS256', { publicKey: undefined, privateKey: undefined }, /missing key data/],
      ['HS256', { privateKey: Buffer.alloc(0) }, /missing key data/],
      ['RS256', { publicKey: otherRsa.publicKey, privateKey }, /don't match/],
      ['ES256', { publicKey, privateKey }, /not of the kind/],
      ['ES256', { ...ec.ES384 }, /not of the kind/],
      ['EdDSA', { publicKey: undefined, privateKey: Buffer.from('no key') }, /cannot be read/],
    ];
    for (const [signMethod, options, expected] of cases) {
      assert.throws(() => tokensOf(signMethod, options), expected);
    }
  });
});

function signedByHand(head: object, claims: unknown, key: string | Buffer): string {
  const text = [head, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  if (key === '') return `${text}.`;
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}
