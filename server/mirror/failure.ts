/** What a person has to decide or mend, before a mirror or an import can go on. */
export class MirrorError extends Error {
  override name = 'MirrorError';
}

/** Another writer has the checkpoint: what this one knows of it is of the past. */
export class OvertakenError extends MirrorError {
  override name = 'OvertakenError';
}

/** A lease of the destination is gone before its time: what lived with it has to be looked at again. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError';
}

/** The request is beyond what the destination takes. */
export class TooLargeError extends Error {
  override name = 'TooLargeError';
}

/** The source has less history than it had: it was restored from a backup, and has another future. */
export class SourceRestoredError extends Error {
  override name = 'SourceRestoredError';
}
