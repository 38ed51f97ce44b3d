/**
 * The applied state on this disk is not what was written. Nothing of it may be served: a member of a cluster
 * takes a snapshot from the leader, a single member ends with exit status 78.
 */
export class StateDamagedError extends Error {
  override name = 'StateDamagedError';
  readonly reason: string;
  /** The file or directory, where it is known. */
  readonly file: string | undefined;

  constructor(reason: string, options: { file?: string | undefined; cause?: unknown } = {}) {
    super(options.file === undefined ? reason : `${options.file}: ${reason}`, {
      cause: options.cause,
    });
    this.reason = reason;
    this.file = options.file;
  }
}
