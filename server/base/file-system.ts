/** Called once when an operation has ended; `error` is the system's error or null. */
export type Done = (error: Error | null) => void;

/**
 * The few file operations that the WAL needs, so that a simulated disk can stand in for the real one.
 * Operations that return a value are synchronous and used only while starting; they throw the system's error.
 */
export interface FileSystem {
  /** With its parents, durably: also the entries in the parents are synced. Mode 0700. */
  makeDirectory(path: string): void;
  /** Names in the directory, sorted; empty when it does not exist. */
  list(directory: string): string[];
  exists(path: string): boolean;
  read(path: string): Uint8Array;
  /** Opens a new file; fails when it exists. Mode 0600. */
  create(path: string): WritableFile;
  /** Opens an existing file for writing in place. */
  open(path: string): WritableFile;
  rename(source: string, target: string): void;
  remove(path: string): void;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): void;
  /** The same off the main thread, for a process that serves. */
  syncDirectoryAsync(path: string, done: Done): void;
  removeAsync(path: string, done: Done): void;
}

export interface WritableFile {
  writeSync(bytes: Uint8Array, position: number): void;
  datasyncSync(): void;
  /** Writes all bytes of the chunks one after the other from `position`; never short. */
  write(chunks: readonly Uint8Array[], position: number, done: Done): void;
  /** fdatasync. After an error nothing may be assumed: the process ends. */
  datasync(done: Done): void;
  close(): void;
}
