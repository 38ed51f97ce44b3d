import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StateDamagedError } from '../../../server/backend/damage.ts';
import {
  decodeMarker,
  encodeMarker,
  type Marker,
  markerKey,
  markerRingSize,
  nextMarker,
  verifyMarkers,
} from '../../../server/backend/marker.ts';
import { StateHash } from '../../../server/backend/state-hash.ts';
import { latin1 } from '../../../server/base/bytes.ts';

/** The ring after so many batches. */
function ringAfter(count: number): Map<string, Marker> {
  const ring = new Map<string, Marker>();
  let marker: Marker | undefined;
  for (let index = 1; index <= count; index++) {
    const batch = { ops: [], applied: { index, term: 1 }, stateHash: new StateHash() };
    marker = nextMarker(marker, batch);
    ring.set(latin1(markerKey(marker.sequence)), marker);
  }
  return ring;
}

test('a marker survives its encoding', () => {
  const stateHash = new StateHash();
  stateHash.add(0xffff_ffff);
  stateHash.add(7);
  const applied = { index: 2 ** 40 + 3, term: 9 };
  const first = nextMarker(undefined, { ops: [], applied, stateHash });
  const second = nextMarker(first, { ops: [], applied, stateHash });
  assert.deepEqual(decodeMarker(encodeMarker(second)), second);
  assert.equal(second.chainBefore, first.chain);
  assert.notEqual(second.chain, first.chain);
  assert.throws(() => decodeMarker(encodeMarker(first).subarray(1)), StateDamagedError);
});

test('the newest marker stands at the end of an unbroken chain', () => {
  const markers = [...ringAfter(10).values()];
  assert.equal(verifyMarkers(markers)?.sequence, 10);
  assert.equal(verifyMarkers([]), undefined);
  for (let missing = 0; missing < 9; missing++) {
    assert.throws(() => verifyMarkers(markers.toSpliced(missing, 1)), StateDamagedError);
  }
  const other = [...ringAfter(11).values()].map((marker) => ({ ...marker, chain: 1 }));
  const mixed = [...markers.slice(0, 5), ...other.slice(5)];
  assert.throws(() => verifyMarkers(mixed), StateDamagedError);
});

test('the ring of markers turns over', () => {
  const ring = ringAfter(markerRingSize + 5);
  assert.equal(ring.size, markerRingSize);
  assert.equal(verifyMarkers([...ring.values()])?.sequence, markerRingSize + 5);
  // A batch lost a while ago leaves the marker that had its slot one turn before.
  const stale = { ...[...ring.values()][100], sequence: 7 } as Marker;
  const markers = [...ring.values()].toSpliced(100, 1, stale);
  assert.throws(() => verifyMarkers(markers), StateDamagedError);
});
