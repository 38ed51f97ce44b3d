import { exponentialBounds, Histogram } from '../base/histogram.ts';

/** What was exchanged with one peer since the process began. The bounds are etcd's. */
export class PeerCounters {
  /** Over connections that are closed; those that are open tell their own. */
  sentBytes = 0;
  receivedBytes = 0;
  /** Messages that were dropped: no connection, or a peer that does not read. */
  sendFailures = 0;
  /** Connections that were closed because of what came over them. */
  receiveFailures = 0;
  disconnections = 0;
  readonly roundTripSeconds = new Histogram(exponentialBounds(0.0001, 2, 16));
  snapshotsInFlight = 0;
  snapshotFailures = 0;
  /** Of snapshots that were sent whole and installed. */
  readonly snapshotSeconds = new Histogram(exponentialBounds(0.1, 2, 10));
}
