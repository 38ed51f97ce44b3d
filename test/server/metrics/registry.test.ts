import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counter } from '../../../server/base/exposition.ts';
import { Registry } from '../../../server/metrics/registry.ts';

test('a collector is asked at each scrape, and no sooner', () => {
  const registry = new Registry();
  let count = 0;
  registry.register(() => [counter('asked_total', 'Times.', ++count)]);
  assert.equal(count, 0);
  assert.match(registry.text(), /^asked_total 1$/m);
  assert.match(registry.text(), /^asked_total 2$/m);
  assert.match(registry.text(), /^promhttp_metric_handler_requests_total\{code="200"\} 3$/m);
});
