/** An object as a listing tells of it. */
export interface ListedObject {
  /** The whole name, below what the target stands for. */
  readonly name: string;
  readonly sizeBytes: number;
  /** By the clock of whoever keeps it; milliseconds since the epoch. */
  readonly modifiedMs: number;
}

export interface StoredObject extends ListedObject {
  /** What {@link NewObject.owner} was; undefined where nobody said, or where the target cannot keep it. */
  readonly owner: string | undefined;
}

export interface NewObject {
  /** Known beforehand, so that parts have a size that fits. */
  readonly sizeBytes: number;
  /** Who writes: kept beside the object where the target can. */
  readonly owner: string;
}

/** A place for objects: a bucket or a directory. All methods reject with a {@link BackupError}. */
export interface Target {
  /** For people: where this is. */
  readonly place: string;
  /** Those whose names begin so, in order of names. */
  list(prefix: string): AsyncIterable<ListedObject>;
  /** Undefined when there is no such object. */
  stat(name: string): Promise<StoredObject | undefined>;
  /** From a byte on; goes on by itself where a connection was cut. Fails with `NotFound`. */
  get(name: string, fromByte?: number): AsyncGenerator<Buffer, void, void>;
  /**
   * Writes a small object that is not there yet. One that is there with the same content is left as it is: somebody
   * tries again. With another content it fails with `ForeignObject`, also on servers that know no conditions.
   */
  create(name: string, body: Uint8Array, owner: string): Promise<void>;
  /** Writes a large object under a name that nobody else uses. It is there in full, or not at all. */
  createFrom(name: string, chunks: AsyncIterable<Uint8Array>, object: NewObject): Promise<void>;
  /** What is not there stays so. */
  delete(name: string): Promise<void>;
  /** Throws away what uploads that were begun so long ago have left, where that can be seen; how many. */
  abortUnfinished(prefix: string, olderThanMs: number): Promise<number>;
  /** By the clock that {@link ListedObject.modifiedMs} is of. */
  nowMs(): Promise<number>;
  close(): void;
}

/** A small object as a whole. Fails with `NotFound`. */
export async function readObject(target: Target, name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of target.get(name)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
