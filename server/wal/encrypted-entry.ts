import { Buffer } from 'node:buffer';
import type { Cipher } from '../base/cipher.ts';
import type { Entry } from '../raft/entry.ts';
import { writeNumber } from './frame.ts';
import type { WalRecord } from './record.ts';

/** The key that an entry was encrypted with is not there. */
export class UndecryptableEntryError extends Error {
  override name = 'UndecryptableEntryError';
}

/** As it goes into the log: its data encrypted for its place there, if there is a cipher. */
export function entryRecord(entry: Entry, cipher: Cipher | undefined): WalRecord {
  if (cipher === undefined) return { kind: 'entry', entry };
  const data = cipher.encrypt(entry.data, placeOf(entry));
  return { kind: 'encryptedEntry', entry: { ...entry, data } };
}

/** Throws {@link UndecryptableEntryError}: its checksum held, so it is the key that is missing. */
export function decryptedEntry(entry: Entry, cipher: Cipher | undefined): Entry {
  const data = cipher?.decrypt(entry.data, placeOf(entry));
  if (data !== undefined) return { ...entry, data };
  throw new UndecryptableEntryError(
    `the log's entry ${entry.index} is encrypted, and its key is not there: put back the files DATA-KEYS of this member's data directory`,
  );
}

function placeOf({ index, term, kind }: Entry): Buffer {
  const place = Buffer.alloc(32);
  writeNumber(place, index, 0);
  writeNumber(place, term, 8);
  place.write(kind, 16, 'latin1');
  return place;
}
