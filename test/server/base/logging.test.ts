import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { jsonLogger } from '../../../server/base/logging.ts';

test('one JSON object a line with etcd’s keys', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-log-'));
  const path = join(directory, 'log');
  const fd = openSync(path, 'w');
  const logger = jsonLogger({ level: 'info', fd });
  logger.debug({}, 'not this');
  logger.info({ 'member-id': 2n ** 63n, took: '1ms' }, 'hello');
  logger.child({ from: 'child' }).error({ error: new Error('broken') }, 'no good');
  closeSync(fd);
  const [first, second, ...rest] = readFileSync(path, 'utf8').trim().split('\n');
  assert.deepEqual(rest, []);
  assert.match(
    first ?? '',
    /^\{"level":"info","ts":"\d{4}-\d\d-\d\dT[\d:.]+Z","member-id":9223372036854775808,"took":"1ms","msg":"hello"\}$/,
  );
  const { level, error, errorVerbose, from, msg } = JSON.parse(second ?? '') as Record<
    string,
    string
  >;
  assert.deepEqual([level, error, from, msg], ['error', 'broken', 'child', 'no good']);
  assert.match(errorVerbose ?? '', /logging\.test/);
  rmSync(directory, { recursive: true });
});
