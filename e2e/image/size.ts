import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Bytes of a file, or of all files below a directory, for people: "23.4 MB". */
export function sizeOf(path: string): string {
  return `${(bytesOf(path) / 1_000_000).toFixed(1)} MB`;
}

function bytesOf(path: string): number {
  const found = statSync(path);
  if (!found.isDirectory()) return found.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0);
}
