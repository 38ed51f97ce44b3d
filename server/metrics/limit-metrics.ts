import type { ExpensiveRequests } from '../api/expensive-requests.ts';
import type { RequestLimits } from '../api/request-limits.ts';
import { counter, type Family, gauge } from '../base/exposition.ts';

export interface LimitSources {
  readonly limits: Pick<RequestLimits, 'refused'>;
  readonly expensive: ExpensiveRequests | undefined;
}

/** What was refused because someone asked for too much, and what waits for its turn. */
export function limitFamilies({ limits, expensive }: LimitSources): Family[] {
  const refused = { ...limits.refused, expensiveWaiting: expensive?.counters.refused ?? 0 };
  return [
    counter(
      'mainstay_limit_refusals_total',
      'Requests that were refused because someone has asked for too much, by the limit.',
      Object.entries(refused).map(([limit, value]) => ({ labels: { limit }, value })),
    ),
    counter(
      'mainstay_expensive_requests_queued_total',
      'Requests for many keys that had to wait for their turn.',
      expensive?.counters.queued ?? 0,
    ),
    gauge(
      'mainstay_expensive_requests_waiting',
      'Requests for many keys that wait for their turn.',
      expensive?.waiting ?? 0,
    ),
    gauge(
      'mainstay_expensive_requests_running',
      'Requests for many keys that are under way.',
      expensive?.running ?? 0,
    ),
  ];
}
