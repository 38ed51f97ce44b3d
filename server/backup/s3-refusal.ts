import { BackupError, type BackupFailure } from './failure.ts';

// What a server says when it does not want to, for people.

export interface Refusal {
  readonly status: number;
  /** S3's word for it; nothing where the answer has none, as to HEAD. */
  readonly code: string;
  readonly method: string;
  readonly key: string;
}

const noBucket = new Set(['NoSuchBucket', 'InvalidBucketName', 'PermanentRedirect']);
const wrongKey = new Set(['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'InvalidToken']);

export function refusalOf(refusal: Refusal, bucket: string, endpoint: string): BackupError {
  const { status, code, method, key } = refusal;
  const failure = failureOf(refusal);
  const said = `${endpoint} answers ${status}${code === '' ? '' : ` ${code}`} to ${method} ${bucket}/${key}`;
  return new BackupError(failure, `${said}${adviceOn(failure, code)}`);
}

function failureOf({ status, code, key }: Refusal): BackupFailure {
  if (noBucket.has(code) || status === 301) return 'StorageMissing';
  if (status === 507 || /quota|storagefull|insufficient/i.test(code)) return 'StorageFull';
  if (status === 413) return 'StorageFull';
  if (status === 401 || status === 403) return 'StorageDenied';
  if (status === 404) return key === '' ? 'StorageMissing' : 'NotFound';
  return 'StorageRefused';
}

function adviceOn(failure: BackupFailure, code: string): string {
  switch (failure) {
    case 'StorageMissing':
      return ': create the bucket, or check its name, the region and the path style';
    case 'StorageFull':
      return ': there is no room; raise the quota, or prune backups';
    case 'StorageDenied':
      return wrongKey.has(code)
        ? ': the credentials are wrong; check the access key and the secret key'
        : ': the credentials may not do this; they need to list, read, write and delete below the prefix';
    default:
      return '';
  }
}

/** The error in an XML answer; nothing when it has none. */
export function codeIn(body: Buffer): string {
  const text = body.subarray(0, 4096).toString('utf8');
  return /<Error>.*?<Code>([^<]+)<\/Code>/s.exec(text)?.[1] ?? '';
}
