import type { RequestLimits } from '../api/request-limits.ts';
import { counter, type Family } from '../base/exposition.ts';

/** What was refused because someone asked for too much. */
export function limitFamilies({ refused }: Pick<RequestLimits, 'refused'>): Family[] {
  return [
    counter(
      'mainstay_limit_refusals_total',
      'Requests that were refused because a user or a connection has asked for too much.',
      Object.entries(refused).map(([limit, value]) => ({ labels: { limit }, value })),
    ),
  ];
}
