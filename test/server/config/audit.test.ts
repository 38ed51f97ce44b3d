import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditConfig, auditRules } from '../../../server/config/audit.ts';
import { readCommandLine } from '../../../server/config/config.ts';
import { UsageError } from '../../../server/config/flags.ts';

function configOf(...argv: string[]): AuditConfig | undefined {
  const read = readCommandLine(argv, {});
  assert(read.kind === 'serve');
  return read.config.audit;
}

test('nothing is written down without a path', () => {
  assert.equal(configOf(), undefined);
  assert.throws(() => configOf('--audit-log-rules=read:*'), /needs --audit-log-path/);
});

test('the defaults', () => {
  assert.deepEqual(configOf('--audit-log-path', '/a/audit.log'), {
    path: '/a/audit.log',
    rules: [],
    fileBytesMax: 100 * 1024 ** 2,
    filesMax: 5,
    whenFull: 'drop',
  });
});

test('rules', () => {
  assert.deepEqual(auditRules('write:/secrets/,read:*, lease ,inspect,read:'), [
    { kind: 'write', prefix: '/secrets/' },
    { kind: 'read', prefix: '' },
    { kind: 'lease' },
    { kind: 'inspect' },
    { kind: 'read', prefix: '' },
  ]);
  assert.deepEqual(auditRules('read:a%2Cb%25%ff'), [{ kind: 'read', prefix: 'a,b%\xff' }]);
  assert.deepEqual(auditRules('read:ü'), [{ kind: 'read', prefix: '\xc3\xbc' }]);
});

test('what is wrong is told with what would be right', () => {
  const refused = (...argv: string[]) => {
    try {
      configOf('--audit-log-path=-', ...argv);
    } catch (error) {
      if (error instanceof UsageError) return error.message;
      throw error;
    }
    return '';
  };
  assert.match(refused('--audit-log-rules=reads:*'), /"reads:\*" is no rule; one is read:PREFIX/);
  assert.match(refused('--audit-log-rules=lease:/a'), /is no rule/);
  assert.match(refused('--audit-log-rules=read:100%'), /a percent sign is %25/);
  assert.match(refused('--audit-log-max-size-mb=0'), /must be at least 1/);
  assert.match(refused('--audit-log-max-files=0'), /must be at least 1/);
  assert.match(refused('--audit-log-when-full=wait'), /expected drop or block/);
});
