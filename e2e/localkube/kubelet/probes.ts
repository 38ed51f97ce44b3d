import { request } from 'node:http';
import { connect } from 'node:net';
import {
  at,
  isObject,
  type JsonObject,
  numberAt,
  objectAt,
  objectsAt,
  stringAt,
} from '../objects.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

/** What a probe found; the detail says why it failed. */
export interface ProbeResult {
  readonly isSuccess: boolean;
  readonly detail: string;
}

/** Probes that localkube can run: httpGet and tcpSocket. */
export function isKnownProbe(probe: JsonObject): boolean {
  return isObject(probe['httpGet']) || isObject(probe['tcpSocket']);
}

/** How often a container is looked at until its first success: a second is long on one machine. */
const eagerMs = 500;

/**
 * Runs one probe of a container every periodSeconds and reports its verdict: after successThreshold successes in a row, or
 * after failing for failureThreshold periods. After a failed verdict it counts anew (liveness kills again). Startup and
 * readiness are looked at more often until the first success, but do not fail any sooner for it.
 */
export class Prober {
  readonly #look: () => Promise<ProbeResult>;
  readonly #report: (result: ProbeResult) => void;
  readonly #probe: {
    readonly failuresMax: number;
    readonly successesMin: number;
    readonly periodMs: number;
  };
  #timer: NodeJS.Timeout | undefined;
  #isEager: boolean;
  #successes = 0;
  #failingMs = 0;
  #isStopped = false;

  constructor(
    kind: ProbeKind,
    probe: JsonObject,
    container: JsonObject,
    podIp: string,
    report: (result: ProbeResult) => void,
  ) {
    this.#look = lookOf(probe, container, podIp);
    this.#report = report;
    this.#probe = {
      failuresMax: numberAt(probe, 'failureThreshold') ?? 3,
      successesMin: numberAt(probe, 'successThreshold') ?? 1,
      periodMs: (numberAt(probe, 'periodSeconds') ?? 10) * 1000,
    };
    this.#isEager = kind !== 'liveness';
    const delayMs = (numberAt(probe, 'initialDelaySeconds') ?? 0) * 1000;
    this.#schedule(delayMs + (this.#isEager ? 100 : this.#probe.periodMs));
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#run(), delayMs);
  }

  async #run(): Promise<void> {
    const result = await this.#look();
    if (this.#isStopped) return;
    const { periodMs } = this.#probe;
    const intervalMs = this.#isEager ? Math.min(eagerMs, periodMs) : periodMs;
    if (result.isSuccess) this.#succeed(result);
    else this.#fail(result, intervalMs);
    if (!this.#isStopped) this.#schedule(this.#isEager ? intervalMs : periodMs);
  }

  #succeed(result: ProbeResult): void {
    this.#isEager = false;
    this.#failingMs = 0;
    this.#successes += 1;
    if (this.#successes >= this.#probe.successesMin) this.#report(result);
  }

  #fail(result: ProbeResult, intervalMs: number): void {
    const { failuresMax, periodMs } = this.#probe;
    this.#successes = 0;
    this.#failingMs += intervalMs;
    if (this.#failingMs < failuresMax * periodMs) return;
    this.#failingMs = 0;
    this.#report(result);
  }
}

function lookOf(
  probe: JsonObject,
  container: JsonObject,
  podIp: string,
): () => Promise<ProbeResult> {
  const timeoutMs = (numberAt(probe, 'timeoutSeconds') ?? 1) * 1000;
  const isHttp = isObject(probe['httpGet']);
  const action = objectAt(probe, isHttp ? 'httpGet' : 'tcpSocket');
  const host = stringAt(action, 'host') || podIp;
  const port = portNumber(container, action['port']);
  const path = stringAt(action, 'path') || '/';
  if (isHttp) return () => httpGet(host, port, path, timeoutMs);
  return () => tcpConnect(host, port, timeoutMs);
}

function portNumber(container: JsonObject, port: unknown): number {
  if (typeof port === 'number') return port;
  const named = objectsAt(container, 'ports').find((one) => one['name'] === port);
  return numberAt(named, 'containerPort') ?? Number(port);
}

function httpGet(
  host: string,
  port: number,
  path: string,
  timeoutMs: number,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const fail = (detail: string) => resolve({ isSuccess: false, detail });
    const outgoing = request(
      {
        host,
        port,
        path,
        timeout: timeoutMs,
        agent: false,
        headers: { 'User-Agent': 'kube-probe/1.36' },
      },
      (response) => {
        response.resume();
        const code = response.statusCode ?? 0;
        if (code >= 200 && code < 400) resolve({ isSuccess: true, detail: '' });
        else fail(`HTTP probe failed with statuscode: ${code}`);
      },
    );
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    outgoing.once('error', (error) =>
      fail(`Get "http://${host}:${port}${path}": ${error.message}`),
    );
    outgoing.end();
  });
}

function tcpConnect(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (isSuccess: boolean, detail: string) => {
      socket.destroy();
      resolve({ isSuccess, detail });
    };
    socket.once('connect', () => end(true, ''));
    socket.once('timeout', () => end(false, `dial tcp ${host}:${port}: i/o timeout`));
    socket.once('error', (error) => end(false, `dial tcp ${host}:${port}: ${error.message}`));
  });
}

/** The probe of a kind that a container declares, if any. */
export function probeOf(container: JsonObject, kind: ProbeKind): JsonObject | undefined {
  const probe = at(container, `${kind}Probe`);
  return isObject(probe) ? probe : undefined;
}
