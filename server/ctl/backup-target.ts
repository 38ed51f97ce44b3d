import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DirectoryTarget } from '../backup/directory-target.ts';
import { BackupError } from '../backup/failure.ts';
import { S3Target } from '../backup/s3-target.ts';
import type { S3Credentials } from '../backup/sigv4.ts';
import type { Target } from '../backup/target.ts';
import { type EncryptionKey, encryptionKeyOf } from '../base/encryption-key.ts';
import { hostLookup } from '../base/hosts.ts';
import type { CommandLine } from '../client/ctl/command-line.ts';
import { type Flag, UsageError } from '../client/ctl/flags.ts';
import { durationMs } from '../config/duration.ts';

/** Where backups are, and how their outcome is told. */
export const backupFlags: readonly Flag[] = [
  {
    name: 'target',
    value: 's3://BUCKET/PREFIX|DIRECTORY',
    default: 'MAINSTAYCTL_TARGET',
    summary: 'where backups are; a directory has to be there',
  },
  {
    name: 's3-endpoint',
    value: 'URL',
    default: 'AWS_ENDPOINT_URL',
    summary: 'of a server that is not AWS: https://HOST:PORT',
  },
  {
    name: 's3-region',
    value: 'REGION',
    default: 'AWS_REGION or us-east-1',
    summary: 'of the bucket',
  },
  {
    name: 's3-addressing',
    value: 'path|virtual',
    default: 'path with --s3-endpoint',
    choices: ['path', 'virtual'],
    summary: "where the bucket's name stands",
  },
  {
    name: 's3-ca-file',
    value: 'FILE',
    default: 'public authorities',
    summary: "who signs the server's certificate",
  },
  {
    name: 's3-credentials-dir',
    value: 'DIRECTORY',
    default: "the environment's variables of these names",
    summary:
      'files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, as a mounted Secret has them',
  },
  {
    name: 's3-sse',
    value: 'AES256|aws:kms',
    choices: ['AES256', 'aws:kms'],
    summary: 'the server encrypts what it keeps',
  },
  { name: 's3-sse-kms-key-id', value: 'ID', summary: 'with this key' },
  { name: 's3-timeout', value: 'DURATION', default: '30s', summary: 'a silence that is a failure' },
  {
    name: 's3-retry-for',
    value: 'DURATION',
    default: '2m',
    summary: 'how long a request is tried again',
  },
  {
    name: 'cluster-uid',
    value: 'UID',
    default: 'of the only cluster that has any there',
    summary: 'whose backups',
  },
  {
    name: 'encryption-key-file',
    value: 'FILE,...',
    summary: '32 bytes, also in hex or base64; the first encrypts, all decrypt',
  },
  {
    name: 'result-file',
    value: 'FILE',
    summary:
      'the outcome as a line of JSON, 4 KiB at most, also when it fails; -w json prints the same',
  },
  {
    name: 'progress',
    value: 'DURATION',
    summary: 'so often a line of JSON says how far it is',
  },
];

type Environment = Readonly<Record<string, string | undefined>>;

/** The bucket or the directory that the command line names. Throws {@link UsageError} and {@link BackupError}. */
export function targetOf(line: CommandLine, env: Environment, signal: AbortSignal): Target {
  const text = line.text('target') ?? env['MAINSTAYCTL_TARGET'];
  if (text === undefined || text === '') {
    throw new UsageError('--target is missing: s3://BUCKET/PREFIX or a directory');
  }
  const url = /^([a-z0-9+]+):\/\/(.*)$/.exec(text);
  const isCreated = line.flag('create-target');
  if (url === null) return new DirectoryTarget(text, { isCreated });
  const [, scheme, rest = ''] = url;
  if (scheme === 'file') return new DirectoryTarget(rest, { isCreated });
  if (scheme !== 's3') throw new UsageError(`--target: "${text}" is neither s3:// nor a directory`);
  const [bucket = '', ...folders] = rest.replace(/\/+$/, '').split('/');
  if (bucket === '') throw new UsageError(`--target: "${text}" names no bucket`);
  const prefix = folders.length === 0 ? '' : `${folders.join('/')}/`;
  return s3Target(line, env, { bucket, prefix, signal });
}

function s3Target(
  line: CommandLine,
  env: Environment,
  of: { bucket: string; prefix: string; signal: AbortSignal },
): Target {
  const region =
    line.text('s3-region') || env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || 'us-east-1';
  const ownEndpoint =
    line.text('s3-endpoint') || env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'] || undefined;
  const endpoint = ownEndpoint ?? `https://s3.${region}.amazonaws.com`;
  if (!/^https?:\/\/[^/]/.test(endpoint) || !URL.canParse(endpoint)) {
    throw new UsageError(`--s3-endpoint: "${endpoint}" is no URL of http or https`);
  }
  const { username, password } = new URL(endpoint);
  if (username !== '' || password !== '') {
    throw new UsageError(
      '--s3-endpoint: credentials do not belong into the URL, where others see them: give --s3-credentials-dir, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment',
    );
  }
  const encryption = line.text('s3-sse');
  if (encryption !== undefined && encryption !== 'AES256' && encryption !== 'aws:kms') {
    throw new UsageError(`--s3-sse: "${encryption}" is not AES256 or aws:kms`);
  }
  const caFile = line.text('s3-ca-file');
  const credentials = credentialsOf(line.text('s3-credentials-dir'), env);
  credentials();
  return new S3Target({
    ...of,
    endpoint,
    region,
    isPathStyle: isPathStyle(line, ownEndpoint !== undefined),
    credentials,
    ca: caFile === undefined ? undefined : contentOf(caFile, '--s3-ca-file').toString('utf8'),
    encryption,
    kmsKeyId: line.text('s3-sse-kms-key-id'),
    lookup: hostLookup(env['MAINSTAY_HOSTS_FILE']),
    timeoutMs: duration(line, 's3-timeout', '30s'),
    retryMs: duration(line, 's3-retry-for', '2m'),
  });
}

function isPathStyle(line: CommandLine, hasOwnEndpoint: boolean): boolean {
  const text = line.text('s3-addressing') ?? (hasOwnEndpoint ? 'path' : 'virtual');
  if (text === 'path' || text === 'virtual') return text === 'path';
  throw new UsageError(`--s3-addressing: "${text}" is not path or virtual`);
}

/** Files are read each time: a mounted Secret changes under them. */
function credentialsOf(directory: string | undefined, env: Environment): () => S3Credentials {
  const setting = (name: string): string =>
    directory === undefined ? (env[name] ?? '').trim() : fileIn(directory, name);
  return () => {
    const accessKeyId = setting('AWS_ACCESS_KEY_ID');
    const secretAccessKey = setting('AWS_SECRET_ACCESS_KEY');
    const sessionToken = setting('AWS_SESSION_TOKEN') || undefined;
    if (accessKeyId !== '' && secretAccessKey !== '') {
      return { accessKeyId, secretAccessKey, sessionToken };
    }
    const where = directory === undefined ? 'the environment' : directory;
    const message = `no credentials: ${where} has to have AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`;
    throw new BackupError('Invalid', message);
  };
}

function fileIn(directory: string, name: string): string {
  try {
    return readFileSync(join(directory, name), 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw new BackupError('Invalid', String((error as Error).message), { cause: error });
  }
}

/** Those of the named files; the first one encrypts. */
export function encryptionKeysOf(line: CommandLine): EncryptionKey[] {
  const files = line.text('encryption-key-file')?.split(',') ?? [];
  return files.map((file) => keyIn(file));
}

function keyIn(file: string): EncryptionKey {
  const content = contentOf(file, '--encryption-key-file');
  try {
    return encryptionKeyOf(content, file);
  } catch (error) {
    throw new BackupError('Invalid', (error as Error).message, { cause: error });
  }
}

function contentOf(path: string, flag: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new BackupError('Invalid', `${flag}: ${(error as Error).message}`, { cause: error });
  }
}

/** Milliseconds, above 0. */
export function duration(line: CommandLine, flag: string, fallback: string): number {
  const text = line.text(flag) ?? fallback;
  const ms = durationMs(text);
  if (ms === undefined || ms <= 0) throw new UsageError(`--${flag}: "${text}" is no time like 30s`);
  return ms;
}
