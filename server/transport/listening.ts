import { lstatSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:net';
import type { ListenAddress } from '../config/urls.ts';

/** Resolves once the server listens there; rejects with the system's error. */
export function listening(server: Server, at: ListenAddress): Promise<void> {
  if ('path' in at) removeSocket(at.path);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** A socket file that a process left behind when it was killed; anything else is in the way. */
function removeSocket(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
}
