import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Credentials } from '../../server/backup/sigv4.ts';
import { signed } from '../../server/backup/sigv4.ts';
import { freePort } from './server-process.ts';
import { type ToolName, toolPath } from './tools.ts';

// Real S3 servers that differ usefully: Swift refuses If-None-Match, server-side encryption and checksum trailers, and
// checks signatures; moto is complete, and checks them too; s3rver checks none and ignores what it does not know.

export type S3Program = 'swift' | 'moto' | 's3rver';

/** What has to be there for it. */
export const s3Tools: Readonly<Record<S3Program, readonly ToolName[]>> = {
  swift: ['swift-proxy-server', 'memcached'],
  moto: ['moto-5.2'],
  s3rver: ['s3rver'],
};

export interface S3Server {
  readonly endpoint: string;
  /** It is there already. */
  readonly bucket: string;
  readonly credentials: S3Credentials;
  stop(): Promise<void>;
}

const startTimeoutMs = 90_000;
const bucket = 'backups';

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One with an empty bucket. */
export async function startS3(program: S3Program): Promise<S3Server> {
  const directory = mkdtempSync(join(tmpdir(), `mainstay-${program}-`));
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(ended));
    rmSync(directory, { recursive: true, force: true });
  };
  const start = (name: ToolName | string, args: string[], env: Record<string, string> = {}) => {
    const path = name.startsWith('/') ? name : toolPath(name as ToolName);
    children.push(spawned(path, args, env));
  };
  try {
    const { endpoint, credentials } = await starters[program]({ directory, start });
    await makeBucket(endpoint, credentials);
    return { endpoint, bucket, credentials, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Starting {
  readonly directory: string;
  readonly start: (name: string, args: string[], env?: Record<string, string>) => void;
}

type Started = Pick<S3Server, 'endpoint' | 'credentials'>;

const starters: Readonly<Record<S3Program, (starting: Starting) => Promise<Started>>> = {
  async s3rver({ directory, start }) {
    const port = await freePort();
    start('s3rver', ['-s', '-d', directory, '-a', '127.0.0.1', '-p', String(port)]);
    const endpoint = `http://127.0.0.1:${port}`;
    await answers(endpoint);
    return { endpoint, credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' } };
  },

  async moto({ start }) {
    const port = await freePort();
    // The first calls make the user whose signatures are checked from then on.
    const env = { INITIAL_NO_AUTH_ACTION_COUNT: '3', PYTHONWARNINGS: 'ignore' };
    start('moto-5.2', ['-H', '127.0.0.1', '-p', String(port)], env);
    const endpoint = `http://127.0.0.1:${port}`;
    await answers(`${endpoint}/moto-api/`);
    await iam(endpoint, { Action: 'CreateUser', UserName: 'tester' });
    const made = await iam(endpoint, { Action: 'CreateAccessKey', UserName: 'tester' });
    const statement = { Effect: 'Allow', Action: '*', Resource: '*' };
    const policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
    const named = { UserName: 'tester', PolicyName: 'all', PolicyDocument: policy };
    await iam(endpoint, { Action: 'PutUserPolicy', ...named });
    const [, accessKeyId = ''] = /<AccessKeyId>(.*?)</.exec(made) ?? [];
    const [, secretAccessKey = ''] = /<SecretAccessKey>(.*?)</.exec(made) ?? [];
    return { endpoint, credentials: { accessKeyId, secretAccessKey } };
  },

  async swift(starting) {
    const endpoint = await startSwift(starting);
    return {
      endpoint,
      credentials: { accessKeyId: 'test:tester', secretAccessKey: 'testing' },
    };
  },
};

async function iam(endpoint: string, fields: Record<string, string>): Promise<string> {
  const scope = 'Credential=any/20260101/us-east-1/iam/aws4_request';
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { authorization: `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=host, Signature=any` },
    body: new URLSearchParams({ Version: '2010-05-08', ...fields }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`moto: ${text}`);
  return text;
}

const swiftHash = '[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n';
const swiftPolicy = '[storage-policy:0]\nname = p0\ndefault = yes\n';

/** Everything of it stands in the directory, but for one file that Swift looks for nowhere else. */
async function startSwift({ directory, start }: Starting): Promise<string> {
  const common = '/etc/swift/swift.conf';
  if (!existsSync(common)) {
    mkdirSync('/etc/swift', { recursive: true });
    writeFileSync(common, `${swiftHash}${swiftPolicy}`);
  }
  const user = userInfo().uid === 0 ? 'swift' : userInfo().username;
  mkdirSync(join(directory, 'devices/d1'), { recursive: true });
  const [proxyPort, cachePort] = [await freePort(), await freePort()];
  for (const kind of ['account', 'container', 'object']) {
    const port = await freePort();
    makeRing(directory, kind, port);
    writeFileSync(join(directory, `${kind}.conf`), storageConfig({ directory, kind, port, user }));
  }
  writeFileSync(
    join(directory, 'proxy.conf'),
    proxyConfig({ directory, port: proxyPort, cachePort, user }),
  );
  if (user === 'swift') giveTo(user, directory);
  start('memcached', ['-u', 'nobody', '-l', '127.0.0.1', '-p', String(cachePort)]);
  const binary = toolPath('swift-proxy-server').replace(/proxy-server$/, '');
  for (const kind of ['account', 'container', 'object', 'proxy']) {
    start(`${binary}${kind}-server`, [join(directory, `${kind}.conf`)]);
  }
  const endpoint = `http://127.0.0.1:${proxyPort}`;
  await answers(endpoint);
  return endpoint;
}

function makeRing(directory: string, kind: string, port: number): void {
  const ring = (...args: string[]) =>
    execFileSync('swift-ring-builder', [join(directory, `${kind}.builder`), ...args]);
  ring('create', '4', '1', '1');
  ring('add', `r1z1-127.0.0.1:${port}/d1`, '1');
  ring('rebalance');
}

interface SwiftPart {
  readonly directory: string;
  readonly port: number;
  readonly user: string;
}

function defaults({ directory, port, user }: SwiftPart): string {
  return `[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = ${port}\nworkers = 0\nuser = ${user}\nswift_dir = ${directory}\n`;
}

function storageConfig({ kind, ...part }: SwiftPart & { kind: string }): string {
  const devices = `devices = ${join(part.directory, 'devices')}\nmount_check = false\nfallocate_reserve = 0\n`;
  return `${defaults(part)}${devices}[pipeline:main]\npipeline = ${kind}-server\n[app:${kind}-server]\nuse = egg:swift#${kind}\n`;
}

function proxyConfig({ cachePort, ...part }: SwiftPart & { cachePort: number }): string {
  const filters = [
    'catch_errors',
    'gatekeeper',
    'listing_formats',
    'bulk',
    'copy',
    'dlo',
    'symlink',
  ];
  const pipeline = `catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server`;
  const sections = [
    `[pipeline:main]\npipeline = ${pipeline}\n`,
    '[app:proxy-server]\nuse = egg:swift#proxy\nallow_account_management = true\naccount_autocreate = true\n',
    ...filters.map((name) => `[filter:${name}]\nuse = egg:swift#${name}\n`),
    `[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:${cachePort}\n`,
    '[filter:s3api]\nuse = egg:swift#s3api\nlocation = us-east-1\n',
    '[filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = testing .admin\n',
    '[filter:slo]\nuse = egg:swift#slo\nmin_segment_size = 1\n',
    '[filter:versioned_writes]\nuse = egg:swift#versioned_writes\nallow_object_versioning = true\n',
  ];
  return `${defaults(part)}${sections.join('')}`;
}

function giveTo(user: string, directory: string): void {
  const [uid = 0, gid = 0] = ['-u', '-g'].map((flag) =>
    Number(execFileSync('id', [flag, user], { encoding: 'utf8' })),
  );
  const paths = execFileSync('find', [directory], { encoding: 'utf8' }).trim().split('\n');
  for (const path of paths) chownSync(path, uid, gid);
}

function spawned(path: string, args: string[], env: Record<string, string>): ChildProcess {
  const child = spawn(path, args, { stdio: 'ignore', env: { ...process.env, ...env } });
  running.add(child);
  child.once('error', () => running.delete(child));
  child.once('exit', () => running.delete(child));
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}

/** Resolves when there is any answer at all. */
async function answers(url: string): Promise<void> {
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw new Error(`${url} does not answer`, { cause: error });
    }
    await sleep(100);
  }
}

/** Tried again: parts of a server may come up later than others. */
async function makeBucket(endpoint: string, credentials: S3Credentials): Promise<void> {
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    const { host } = new URL(endpoint);
    const request = { method: 'PUT', path: `/${bucket}`, query: {}, headers: { host } };
    const signing = { credentials, region: 'us-east-1', nowMs: Date.now() };
    const headers = signed({ ...request, body: new Uint8Array() }, signing);
    const response = await fetch(`${endpoint}/${bucket}`, { method: 'PUT', headers });
    const text = await response.text();
    if (response.ok || response.status === 409) return;
    if (performance.now() > deadline) throw new Error(`no bucket: ${response.status} ${text}`);
    await sleep(200);
  }
}
