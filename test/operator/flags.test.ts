import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { FlagError, help, parseFlags } from '../../operator/flags.ts';
import { programPath } from '../support/programs.ts';

const main = programPath('operator/main');

test('without flags: the defaults', () => {
  assert.deepEqual(parseFlags([]), {
    kubeconfig: undefined,
    namespace: undefined,
    leaderElect: false,
    leaderElectNamespace: undefined,
    leaderElectSeconds: 15,
    healthPort: 8081,
    imageRepository: 'mainstay',
    reloadSeconds: 120,
    workers: 4,
    logLevel: 'info',
  });
});

test('flags are taken with = and without', () => {
  const flags = parseFlags(['--namespace=shop', '--health-port', '0', '--leader-elect']);
  assert.ok(flags !== 'help');
  assert.deepEqual([flags.namespace, flags.healthPort, flags.leaderElect], ['shop', 0, true]);
});

test('a wrong flag is one clear line', () => {
  const wrong = (...args: string[]) => {
    try {
      parseFlags(args);
    } catch (error) {
      assert.ok(error instanceof FlagError);
      assert.ok(!error.message.includes('\n'));
      return error.message;
    }
    throw new assert.AssertionError({ message: `${args.join(' ')} was taken` });
  };
  assert.match(wrong('--bogus'), /Unknown option '--bogus'/);
  assert.equal(wrong('--workers=0'), '--workers must be a whole number from 1 to 64, not "0"');
  assert.match(wrong('--health-port=x'), /whole number from 0 to 65535, not "x"/);
  assert.match(wrong('--log-level=loud'), /must be debug, info, warn or error, not "loud"/);
  assert.match(wrong('extra'), /Unexpected argument 'extra'/);
});

test('the process tells a wrong flag on one line and ends with 2, --help with 0', () => {
  const run = (flag: string) => {
    const options = { encoding: 'utf8', timeout: 60_000 } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, flag], options);
    return { status, stdout, stderr };
  };
  assert.deepEqual(run('--workers=x'), {
    status: 2,
    stdout: '',
    stderr:
      'mainstay-operator: --workers must be a whole number from 1 to 64, not "x" (--help shows the flags)\n',
  });
  assert.deepEqual(run('--help'), { status: 0, stdout: help, stderr: '' });
});

test('--help names every flag', () => {
  assert.equal(parseFlags(['--workers=9', '--help']), 'help');
  for (const flag of ['kubeconfig', 'namespace', 'leader-elect', 'health-port', 'workers']) {
    assert.match(help, new RegExp(`--${flag}\\b`));
  }
});
