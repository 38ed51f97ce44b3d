import type { Endpoint } from './endpoint.ts';

/** How long a member that failed is left alone, doubled each time until a call succeeds there. */
const restMsMin = 100;
const restMsMax = 5_000;
const probeTimeoutMs = 2_000;

interface Place {
  readonly endpoint: Endpoint;
  /** Until it has answered a call or a probe after its last failure. */
  isSuspect: boolean;
  isProbed: boolean;
  restMs: number;
  /** When it may be probed, by the monotonic clock. */
  restUntil: number;
}

/**
 * The members' endpoints, asked in turn. One that has failed is left out, and comes back when it has answered a health
 * check, which is made beside calls to the others: no call waits for a member that is known to be down while another
 * is up. When none is known to be well, each is tried in turn.
 */
export class Endpoints {
  #places: Place[];
  #turn = 0;

  /** At least one. */
  constructor(endpoints: readonly Endpoint[]) {
    this.#places = endpoints.map(placeOf);
  }

  get all(): Endpoint[] {
    return this.#places.map(({ endpoint }) => endpoint);
  }

  /** Closes those that are not in the list, and keeps the connections of the others. */
  replace(endpoints: readonly Endpoint[]): void {
    const kept = new Set(endpoints);
    for (const { endpoint } of this.#places) if (!kept.has(endpoint)) endpoint.close();
    this.#places = endpoints.map((endpoint) => this.#placeOf(endpoint) ?? placeOf(endpoint));
    this.#turn = 0;
  }

  next(): Endpoint {
    const places = this.#places;
    const inTurn = places.map((_, at) => places[(this.#turn + at) % places.length] as Place);
    const well = inTurn.find(isWell) ?? (inTurn[0] as Place);
    if (isWell(well)) this.#reviveAllBefore(well, inTurn);
    this.#turn = (places.indexOf(well) + 1) % places.length;
    return well.endpoint;
  }

  succeeded(endpoint: Endpoint): void {
    const place = this.#placeOf(endpoint);
    if (place === undefined || (!place.isSuspect && place.restMs === 0)) return;
    place.isSuspect = false;
    place.restMs = 0;
  }

  failed(endpoint: Endpoint): void {
    const place = this.#placeOf(endpoint);
    if (place === undefined) return;
    place.isSuspect = true;
    place.restMs = Math.min(Math.max(restMsMin, 2 * place.restMs), restMsMax);
    place.restUntil = performance.now() + place.restMs * (0.5 + Math.random() / 2);
  }

  close(): void {
    for (const { endpoint } of this.#places) endpoint.close();
  }

  /** Those whose turn it would be, but for their state. */
  #reviveAllBefore(well: Place, inTurn: readonly Place[]): void {
    for (const place of inTurn) {
      if (place === well) return;
      if (!place.isProbed && performance.now() >= place.restUntil) void this.#revive(place);
    }
  }

  async #revive(place: Place): Promise<void> {
    place.isProbed = true;
    try {
      await place.endpoint.probe(probeTimeoutMs);
      place.isSuspect = false;
    } catch {
      // Not yet: it is probed again after a while.
      this.failed(place.endpoint);
    } finally {
      place.isProbed = false;
    }
  }

  #placeOf(endpoint: Endpoint): Place | undefined {
    return this.#places.find((place) => place.endpoint === endpoint);
  }
}

function placeOf(endpoint: Endpoint): Place {
  return { endpoint, isSuspect: false, isProbed: false, restMs: 0, restUntil: 0 };
}

function isWell({ endpoint, isSuspect }: Place): boolean {
  return !isSuspect && endpoint.isConnected;
}
