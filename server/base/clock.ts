/** Time and timers, injected so that the simulator can drive them. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary start. Elections and leases use only this. */
  nowMs(): number;
  /** Wall clock, milliseconds since the epoch: for logs, certificates and schedules only. */
  wallMs(): number;
  /** Runs `callback` once after `delayMs`; delays beyond 2^31 ms are kept exact. */
  after(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}
