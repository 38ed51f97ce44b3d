import { createHash, createHmac } from 'node:crypto';

// AWS Signature Version 4, for S3: a request that carries its signature in the header `authorization`.

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
}

export interface UnsignedRequest {
  readonly method: string;
  /** Encoded as it goes over the wire. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case, `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface Signing {
  readonly credentials: S3Credentials;
  readonly region: string;
  /** Milliseconds since the epoch; servers refuse what is more than 15 minutes from their own. */
  readonly nowMs: number;
}

/** The headers of the request, and those that prove who made it. */
export function signed(request: UnsignedRequest, signing: Signing): Record<string, string> {
  const { credentials, region, nowMs } = signing;
  const time = amzTime(nowMs);
  const date = time.slice(0, 8);
  const bodyHash = sha256(request.body);
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-content-sha256': bodyHash,
    'x-amz-date': time,
  };
  if (credentials.sessionToken !== undefined) {
    headers['x-amz-security-token'] = credentials.sessionToken;
  }
  const names = Object.keys(headers)
    .filter((name) => name === 'host' || name.startsWith('x-amz-'))
    .sort();
  const canonical = [
    request.method,
    request.path,
    queryText(request.query),
    ...names.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    bodyHash,
  ].join('\n');
  const scope = `${date}/${region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(Buffer.from(canonical))].join('\n');
  const key = [date, region, 's3', 'aws4_request'].reduce<Buffer>(
    (under, word) => hmac(under, word),
    Buffer.from(`AWS4${credentials.secretAccessKey}`),
  );
  const parts = [
    `Credential=${credentials.accessKeyId}/${scope}`,
    `SignedHeaders=${names.join(';')}`,
    `Signature=${hmac(key, text).toString('hex')}`,
  ];
  return { ...headers, authorization: `AWS4-HMAC-SHA256 ${parts.join(', ')}` };
}

/** Sorted and encoded, without the question mark: what is signed is what is sent. */
export function queryText(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => [encoded(name), encoded(value)]);
  pairs.sort(([a = ''], [b = '']) => (a < b ? -1 : 1));
  return pairs.map((pair) => pair.join('=')).join('&');
}

/** Of an object's name, its slashes kept. */
export function pathText(name: string): string {
  return name.split('/').map(encoded).join('/');
}

/** RFC 3986: everything but letters, digits and `-._~`. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function amzTime(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '');
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
