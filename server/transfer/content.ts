import type { LeaseId, Revision } from '../base/ids.ts';

/** A key as it is in the end; its history is left behind. */
export interface KeyEntry {
  readonly kind: 'key';
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** 0n: none. Its own entry comes before. */
  readonly lease: LeaseId;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: number;
}

export interface LeaseEntry {
  readonly kind: 'lease';
  readonly id: LeaseId;
  /** What it was granted for. */
  readonly ttlSeconds: number;
}

export type Entry = KeyEntry | LeaseEntry;

/** What a cluster has at one revision: keys with their leases. */
export interface Content {
  readonly revision: Revision;
  /** Of the store, hex; undefined where it is not known. */
  readonly clusterId: string | undefined;
  entries(): AsyncIterable<Entry>;
}

/** Something is wrong with a file; nothing was written. */
export class TransferError extends Error {
  override name = 'TransferError';
}

/** Told how many bytes have passed. */
export type OnBytes = (sizeBytes: number) => void;
