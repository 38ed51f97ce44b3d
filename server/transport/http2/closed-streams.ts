/** Streams whose end is remembered, newest of those with the same place. */
const rememberedMax = 128;

/** How the newest streams of a connection ended, which tells what frames for them may still mean. */
export class ClosedStreams {
  /** By place, `id * 2`, plus one when we reset it; made with the first stream. */
  #ends: Uint32Array | undefined;

  add(streamId: number, isResetByUs: boolean): void {
    this.#ends ??= new Uint32Array(rememberedMax);
    this.#ends[placeOf(streamId)] = streamId * 2 + (isResetByUs ? 1 : 0);
  }

  /** Undefined: it never was, or is forgotten. */
  endOf(streamId: number): 'ended' | 'resetByUs' | undefined {
    const end = this.#ends?.[placeOf(streamId)] ?? 0;
    if (end >>> 1 !== streamId) return undefined;
    return (end & 1) === 1 ? 'resetByUs' : 'ended';
  }
}

function placeOf(streamId: number): number {
  return (streamId >>> 1) % rememberedMax;
}
