import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCommandLine } from '../../../server/config/config.ts';
import { UsageError } from '../../../server/config/flags.ts';
import { prefixQuotas } from '../../../server/config/request-limits.ts';

function refusal(...argv: string[]): string {
  try {
    readCommandLine(argv, {});
    return 'none';
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
}

test('limits are whole numbers from 0', () => {
  for (const flag of ['limit-user-in-flight', 'limit-connection-requests-per-second']) {
    assert.equal(refusal(`--${flag}=-1`), `--${flag} must not be negative; 0 stands for no limit`);
    assert.match(refusal(`--${flag}=1.5`), /expected a whole number/);
    assert.equal(refusal(`--${flag}=0`), 'none');
  }
});

test('quotas of prefixes', () => {
  assert.deepEqual(prefixQuotas('/a/=100, b=c=2Ki,%2C%25\u00e9=1Gi,x=0'), [
    { prefix: '/a/', sizeBytes: 100 },
    { prefix: 'b=c', sizeBytes: 2048 },
    { prefix: ',%\xc3\xa9', sizeBytes: 1024 ** 3 },
    { prefix: 'x', sizeBytes: 0 },
  ]);
  assert.deepEqual(prefixQuotas(''), []);
  for (const text of ['=1', '/a/', '/a/=', '/a/=-1', '/a/=1MB', '/a/=9007199254740993']) {
    assert.match(refusal(`--limit-prefix-quotas=${text}`), /is no quota; one is PREFIX=SIZE/);
  }
  assert.match(refusal('--limit-prefix-quotas=/a=1,%2Fa=2'), /"\/a" has two quotas/);
  assert.match(refusal('--limit-prefix-quotas=%2=1'), /has a % that begins no byte/);
});
