import { readFileSync } from 'node:fs';

// What the system says of a process's memory.

/** `VmHWM`: the most of VmRSS so far. `RssAnon`: its own, without the pages of mapped files, which the system takes back. */
export type MemoryKind = 'VmRSS' | 'VmHWM' | 'RssAnon';

/** In bytes; undefined when the process has ended. */
export function memoryOf(pid: number | string | undefined, kind: MemoryKind): number | undefined {
  try {
    return memoryIn(readFileSync(`/proc/${pid}/status`, 'utf8'), kind);
  } catch {
    return undefined;
  }
}

/** Of a process that has to be there: throws when it is not. */
export function memoryBytes(
  { pid }: { readonly pid: number | undefined },
  kind: MemoryKind,
): number {
  const bytes = memoryOf(pid, kind);
  if (bytes === undefined) throw new Error(`there is no process ${pid}`);
  return bytes;
}

/** A process that has just ended has a status without memory. */
function memoryIn(status: string, kind: MemoryKind): number | undefined {
  const found = new RegExp(`^${kind}:\\s+(\\d+) kB$`, 'm').exec(status);
  return found === null ? undefined : 1024 * Number(found[1]);
}
