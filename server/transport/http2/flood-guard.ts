import { idleFramesBurstMax, idleFramesPerSecondMax } from '../../config/limits.ts';
import { ConnectionError } from './frames.ts';

/**
 * Bounds the frames that cost us work and bring their sender nothing: settings, pings, resets, empty data, frames for
 * streams that are gone, unknown ones.
 */
export class FloodGuard {
  #left = idleFramesBurstMax;
  #sinceMs = performance.now();

  /** `frames`: as many as it costs. Throws a ConnectionError when there were too many lately. */
  count(frames = 1): void {
    this.#left -= frames;
    if (this.#left >= 0) return;
    const nowMs = performance.now();
    const earned = ((nowMs - this.#sinceMs) * idleFramesPerSecondMax) / 1000;
    this.#sinceMs = nowMs;
    this.#left = Math.min(idleFramesBurstMax, Math.floor(earned)) - frames;
    if (this.#left < 0) {
      throw new ConnectionError('ENHANCE_YOUR_CALM', 'too many frames without a purpose');
    }
  }
}
