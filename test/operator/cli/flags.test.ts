import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import {
  type CliFlags,
  commandNames,
  parseFlags,
  UsageError,
} from '../../../operator/cli/flags.ts';
import { commandHelp, help } from '../../../operator/cli/help.ts';
import { programPath } from '../../support/programs.ts';

const main = programPath('operator/cli/main');

function parsed(...args: string[]): CliFlags {
  const flags = parseFlags(args);
  assert.ok(!('help' in flags));
  return flags;
}

function wrong(...args: string[]): string {
  try {
    parseFlags(args);
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error.message;
  }
  return assert.fail(`${args.join(' ')} was taken`);
}

test('flags are those of kubectl, before and behind the name', () => {
  const flags = parsed('-n', 'shop', 'status', 'demo', '--context=staging');
  assert.deepEqual(
    [flags.command, flags.name, flags.namespace, flags.context],
    ['status', 'demo', 'shop', 'staging'],
  );
  assert.equal(parsed('members', 'storecluster/demo').name, 'demo');
  assert.equal(parsed('members', 'msc/demo').name, 'demo');
  assert.deepEqual(parsed('move-leader', 'demo', 'demo-3').rest, ['demo-3']);
  assert.deepEqual(parsed('plan', 'demo', '--set', 'a=1', '--set', 'b=2').set, ['a=1', 'b=2']);
});

test('what makes no sense is one clear line', () => {
  assert.match(wrong('stat', 'demo'), /unknown command "stat": use one of status, members/);
  assert.equal(wrong('status'), 'status needs the name of a StoreCluster: status NAME');
  assert.match(wrong('plan', 'demo'), /plan needs an edit to look at: --replicas N/);
  assert.match(wrong('pause', 'demo', '--replicas=3'), /belong to plan, not to pause/);
  assert.match(wrong('status', 'demo', '-o', 'x'), /-o belongs to report/);
  assert.match(wrong('status', 'demo', 'x'), /does not know what to do with "x"/);
  assert.match(wrong('plan', 'demo', '--replicas=many'), /--replicas must be a whole number/);
  assert.match(wrong('status', 'demo', '--bogus'), /Unknown option '--bogus'/);
});

test('every command has help with an example and the exit codes', () => {
  for (const command of commandNames) {
    assert.match(help, new RegExp(`kubectl mainstay ${command} demo`));
    const text = commandHelp[command];
    assert.deepEqual(parseFlags([command, '--help']), { help: text });
    assert.deepEqual(parseFlags(['help', command]), { help: text });
    assert.match(text, new RegExp(`\n  kubectl mainstay ${command} demo`));
    assert.match(text, /Exit codes: 0 done; 1 /);
  }
  assert.deepEqual(parseFlags([]), { help });
});

test('the process ends as the help says', () => {
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    return { status, stdout, stderr };
  };
  assert.deepEqual(run('--help'), { status: 0, stdout: help, stderr: '' });
  const usage = run('plan', 'demo');
  assert.deepEqual([usage.status, usage.stdout], [2, '']);
  assert.match(usage.stderr, /^kubectl mainstay: plan needs an edit .*\n$/);
  const away = run('status', 'demo', '--kubeconfig=/nowhere/config');
  assert.deepEqual([away.status, away.stdout], [1, '']);
  assert.match(away.stderr, /^kubectl mainstay: ENOENT.*\n$/);
});
