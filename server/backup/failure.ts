/** Why something with a backup could not be done: what the condition of a StoreBackup will be called. */
export type BackupFailure =
  /** The bucket's server, or the directory, cannot be reached. */
  | 'StorageUnreachable'
  /** Wrong credentials, or ones that may not do this. */
  | 'StorageDenied'
  | 'StorageFull'
  /** There is no such bucket or directory. */
  | 'StorageMissing'
  /** The server refused for another reason. */
  | 'StorageRefused'
  /** Something that we did not write stands where we would have written. */
  | 'ForeignObject'
  | 'ClusterUnreachable'
  | 'NotFound'
  /** What is there is not what was written, or cannot be restored. */
  | 'Damaged'
  | 'WrongKey'
  | 'NewerFormat'
  /** The wanted revision or time is not in the archive. */
  | 'NotArchived'
  /** Compaction took history before it was archived. */
  | 'Gap'
  /** The directory to restore into is not as it has to be. */
  | 'DirectoryRefused'
  | 'Interrupted'
  /** A wrong setting. */
  | 'Invalid';

/** A failure that a person can do something about; the message says what. */
export class BackupError extends Error {
  override name = 'BackupError';
  readonly failure: BackupFailure;

  constructor(failure: BackupFailure, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.failure = failure;
  }
}
