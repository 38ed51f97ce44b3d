export interface CheckCounter {
  readonly type: string;
  readonly name: string;
  /** The last time. */
  isWell: boolean;
  succeeded: number;
  failed: number;
}

/** How the probes were answered since the process began. */
export class ProbeCounters {
  /** Of `/health`. */
  healthy = 0;
  unhealthy = 0;
  readonly #checks = new Map<string, CheckCounter>();

  /** Those of `/livez` and `/readyz`. */
  get checks(): Iterable<CheckCounter> {
    return this.#checks.values();
  }

  answered(isWell: boolean): void {
    if (isWell) this.healthy++;
    else this.unhealthy++;
  }

  checked(type: string, name: string, isWell: boolean): void {
    const key = `${type}/${name}`;
    const check = this.#checks.get(key) ?? { type, name, isWell, succeeded: 0, failed: 0 };
    this.#checks.set(key, check);
    check.isWell = isWell;
    if (isWell) check.succeeded++;
    else check.failed++;
  }
}
