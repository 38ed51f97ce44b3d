import { Buffer } from 'node:buffer';
import type { PrefixQuotas } from '../api/prefix-quotas.ts';
import type { Fairness } from '../api/services.ts';
import { counter, type Family, gauge, type Labels } from '../base/exposition.ts';

/** What was refused because someone asked for too much, and what waits for its turn. */
export function limitFamilies({ limits, expensive, quotas }: Fairness): Family[] {
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
    ...(quotas === undefined ? [] : quotaFamilies(quotas)),
  ];
}

function quotaFamilies(quotas: PrefixQuotas): Family[] {
  const usage = [...quotas.usage()];
  const refused = [...quotas.refused];
  return [
    gauge(
      'mainstay_prefix_used_bytes',
      'Bytes of the keys and values with a prefix that has a quota.',
      usage.map(({ prefix, usedBytes }) => ({ labels: labelsOf(prefix), value: usedBytes })),
    ),
    gauge(
      'mainstay_prefix_quota_bytes',
      'What the keys and values with a prefix may take.',
      usage.map(({ prefix, quotaBytes }) => ({ labels: labelsOf(prefix), value: quotaBytes })),
    ),
    counter(
      'mainstay_prefix_quota_refusals_total',
      'Puts and transactions that were refused because a prefix has no room for them.',
      refused.map(([prefix, value]) => ({ labels: labelsOf(prefix), value })),
    ),
  ];
}

/** Bytes that are no text show as what stands for such. */
function labelsOf(prefix: string): Labels {
  return { prefix: Buffer.from(prefix, 'latin1').toString() };
}
