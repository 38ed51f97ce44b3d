import { Buffer } from 'node:buffer';
import {
  constants,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  type SigningOptions,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Caller } from './access.ts';
import { TokenError, type Tokens } from './tokens.ts';

// JSON Web Tokens (RFC 7519) signed as RFC 7518 says, with the claims of etcd: username, revision, exp.

/** `--auth-token=jwt,...`, the keys as they stand in their files. */
export interface JwtOptions {
  readonly signMethod: SignMethod;
  readonly publicKey: Uint8Array | undefined;
  readonly privateKey: Uint8Array | undefined;
  readonly ttlMs: number;
}

interface Algorithm {
  readonly kind: 'hmac' | 'rsa' | 'rsaPss' | 'ec' | 'ed';
  readonly hash: string | undefined;
  /** Of elliptic curves, in the names of Node. */
  readonly curve?: string;
}

const algorithms = {
  HS256: { kind: 'hmac', hash: 'sha256' },
  HS384: { kind: 'hmac', hash: 'sha384' },
  HS512: { kind: 'hmac', hash: 'sha512' },
  RS256: { kind: 'rsa', hash: 'sha256' },
  RS384: { kind: 'rsa', hash: 'sha384' },
  RS512: { kind: 'rsa', hash: 'sha512' },
  PS256: { kind: 'rsaPss', hash: 'sha256' },
  PS384: { kind: 'rsaPss', hash: 'sha384' },
  PS512: { kind: 'rsaPss', hash: 'sha512' },
  ES256: { kind: 'ec', hash: 'sha256', curve: 'prime256v1' },
  ES384: { kind: 'ec', hash: 'sha384', curve: 'secp384r1' },
  ES512: { kind: 'ec', hash: 'sha512', curve: 'secp521r1' },
  EdDSA: { kind: 'ed', hash: undefined },
} as const satisfies Record<string, Algorithm>;

export type SignMethod = keyof typeof algorithms;

export function isSignMethod(name: string): name is SignMethod {
  return Object.hasOwn(algorithms, name);
}

const keyTypes: Readonly<Record<Exclude<Algorithm['kind'], 'hmac'>, string>> = {
  rsa: 'rsa',
  rsaPss: 'rsa',
  ec: 'ec',
  ed: 'ed25519',
};

interface PaddedKey extends SigningOptions {
  readonly key: KeyObject;
}

/** Signs and verifies bytes by one algorithm; without a private key it only verifies. */
interface Signer {
  sign?(data: Buffer): Buffer;
  verify(data: Buffer, signature: Buffer): boolean;
}

/** Tokens that carry what they say: good on every member that knows the key, until they end. */
export class JwtTokens implements Tokens {
  readonly #clock: Pick<Clock, 'wallMs'>;
  readonly #signer: Signer;
  readonly #signMethod: SignMethod;
  readonly #ttlMs: number;

  /** Throws {@link TokenError} when the keys are missing, not of the method's kind, or not a pair. */
  constructor(modules: { readonly clock: Pick<Clock, 'wallMs'> }, options: JwtOptions) {
    this.#clock = modules.clock;
    this.#signer = signerOf(options);
    this.#signMethod = options.signMethod;
    this.#ttlMs = options.ttlMs;
  }

  newPrefix(): string {
    return '';
  }

  issue({ username, authRevision }: Caller): string {
    if (this.#signer.sign === undefined) {
      throw new TokenError('token signing attempted with verify-only key');
    }
    const exp = Math.floor((this.#clock.wallMs() + this.#ttlMs) / 1000);
    const parts = [
      { alg: this.#signMethod, typ: 'JWT' },
      { exp, revision: authRevision, username },
    ];
    const text = parts.map((part) => base64url(Buffer.from(JSON.stringify(part)))).join('.');
    return `${text}.${base64url(this.#signer.sign(Buffer.from(text)))}`;
  }

  madeAt(): bigint {
    return 0n;
  }

  callerOf(token: string): Caller | undefined {
    const parts = token.split('.');
    const [head = '', body = '', signature = ''] = parts;
    if (parts.length !== 3 || parts.some((part) => !/^[A-Za-z0-9_-]*$/.test(part))) {
      return undefined;
    }
    if (jsonOf(head)?.['alg'] !== this.#signMethod) return undefined;
    const isSigned = this.#signer.verify(
      Buffer.from(`${head}.${body}`),
      Buffer.from(signature, 'base64url'),
    );
    const claims = isSigned ? jsonOf(body) : undefined;
    return claims === undefined ? undefined : this.#callerBy(claims);
  }

  #callerBy(claims: Readonly<Record<string, unknown>>): Caller | undefined {
    const nowSeconds = this.#clock.wallMs() / 1000;
    if (!isBounded(claims['exp'], (end) => nowSeconds < end)) return undefined;
    if (!isBounded(claims['nbf'], (start) => nowSeconds >= start)) return undefined;
    const { username, revision } = claims;
    if (typeof username !== 'string' || typeof revision !== 'number') return undefined;
    if (!(revision >= 0 && revision <= Number.MAX_SAFE_INTEGER)) return undefined;
    return { username, authRevision: Math.floor(revision) };
  }
}

/** A claim that is left out bounds nothing. */
function isBounded(claim: unknown, isWithin: (seconds: number) => boolean): boolean {
  return claim === undefined || (typeof claim === 'number' && isWithin(claim));
}

function base64url(bytes: Buffer): string {
  return bytes.toString('base64url');
}

function jsonOf(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function signerOf(options: JwtOptions): Signer {
  const algorithm: Algorithm = algorithms[options.signMethod];
  if (algorithm.kind === 'hmac') return hmacSigner(algorithm, options.privateKey);
  const privateKey = keyOf(options.privateKey, algorithm, createPrivateKey);
  const publicKey = keyOf(options.publicKey, algorithm, createPublicKey);
  const ownPublicKey = privateKey === undefined ? undefined : createPublicKey(privateKey);
  const verifying = ownPublicKey ?? publicKey;
  if (verifying === undefined) throw new TokenError('missing key data');
  if (ownPublicKey !== undefined && publicKey !== undefined && !ownPublicKey.equals(publicKey)) {
    throw new TokenError("public and private keys don't match");
  }
  const { hash = null } = algorithm;
  return {
    verify: (data, signature) => verify(hash, data, withPadding(algorithm, verifying), signature),
    ...(privateKey === undefined
      ? {}
      : { sign: (data) => sign(hash, data, withPadding(algorithm, privateKey)) }),
  };
}

/** etcd signs and verifies by what stands in the file of the private key. */
function hmacSigner({ hash = '' }: Algorithm, secret: Uint8Array | undefined): Signer {
  if (secret === undefined || secret.length === 0) throw new TokenError('missing key data');
  const mac = (data: Buffer): Buffer => createHmac(hash, secret).update(data).digest();
  return {
    sign: mac,
    verify: (data, signature) => {
      const expected = mac(data);
      return expected.length === signature.length && timingSafeEqual(expected, signature);
    },
  };
}

function keyOf(
  pem: Uint8Array | undefined,
  { kind, curve }: Algorithm,
  parse: (pem: Buffer) => KeyObject,
): KeyObject | undefined {
  if (pem === undefined || pem.length === 0 || kind === 'hmac') return undefined;
  let key: KeyObject;
  try {
    key = parse(Buffer.from(pem));
  } catch (error) {
    throw new TokenError('a key cannot be read', { cause: error });
  }
  const isOfKind = key.asymmetricKeyType === keyTypes[kind];
  const isOfCurve = curve === undefined || key.asymmetricKeyDetails?.namedCurve === curve;
  if (!isOfKind || !isOfCurve) throw new TokenError('a key is not of the kind that is signed with');
  return key;
}

function withPadding({ kind }: Algorithm, key: KeyObject): KeyObject | PaddedKey {
  switch (kind) {
    case 'rsaPss':
      return {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_AUTO,
      };
    case 'ec':
      return { key, dsaEncoding: 'ieee-p1363' };
    default:
      return key;
  }
}
