import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ctlText } from '../../e2e/reference/ctl.ts';
import type { CommandSpec, Example } from '../../server/client/ctl/command.ts';
import { commandLineOf } from '../../server/client/ctl/help.ts';
import { wordsOf } from '../../server/client/ctl/txn-text.ts';
import { ctlCommands } from '../../server/ctl/commands.ts';
import { runCommand } from '../support/ctl.ts';
import { programPath } from '../support/programs.ts';
import { TestCluster } from '../support/server-process.ts';

// docs/CTL.md is what the table of commands says, and every command in it runs. Those of backups are in docs/BACKUP.md
// too, and run there.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);
const leaseId = '694d77aa9e38260f';
const memberId = '8e9e05c52164694d';

test('docs/CTL.md is up to date', () => {
  assert.equal(readFileSync(join(root, 'docs/CTL.md'), 'utf8'), ctlText(), 'run npm run generate');
});

test('every command has an example of its own, and its flags are explained', () => {
  for (const { name, examples, flags, summary } of ctlCommands) {
    assert.ok(examples.length > 0 && examples.every(({ words }) => words.startsWith(name)), name);
    assert.match(summary, /^[A-Z].*[^ ]$/, name);
    assert.equal(new Set(flags.map((flag) => flag.name)).size, flags.length, name);
  }
});

/** What has to be so before an example; each line may fail, as when it is so already. */
const preparations: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^lease grant 60 --id/, [`lease revoke ${leaseId}`]],
  [/^lease (revoke|timetolive|keep)|^put --lease/, [`lease grant 600 --id ${leaseId}`]],
  [/^auth enable/, ['user add root:secret']],
  [/^auth disable/, ['user add root:secret', 'auth enable']],
  [
    /^user add (\w+)/,
    ['user delete root', 'user delete ann', 'user delete ben', 'user delete robot'],
  ],
  [/^user (get|grant|passwd|delete)/, ['user add ann:secret', 'role add reader']],
  [/^user revoke-role/, ['user add ann:secret', 'role add reader', 'user grant-role ann reader']],
  [/^role add/, ['role delete reader']],
  [/^role (grant|get|delete)/, ['role add reader']],
  [
    /^role revoke-permission/,
    ['role add reader', 'role grant-permission reader read config/ --prefix'],
  ],
  [/^snapshot (status|restore)|from-snapshot|^import/, ['snapshot save backup.db']],
  [/^import/, ['export keys.jsonl']],
  [/^mirror .*--check/, ['mirror 127.0.0.1:22379 --once']],
];

/** What others need is done after them: history goes, a second voter comes. */
function lateness({ name }: CommandSpec): number {
  return ['compaction', 'member promote', 'move-leader'].indexOf(name);
}

suite('the commands of docs/CTL.md', { timeout: 540_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-ctl-'));
  let cluster: TestCluster;
  let another: TestCluster;
  let id = '';

  before(async () => {
    cluster = await TestCluster.start({ program: 'mainstay' });
    another = await TestCluster.start({ program: 'mainstay' });
    const program = join(directory, 'mainstayctl');
    const main = programPath('server/ctl/main');
    process.chdir(directory);
    writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
    chmodSync(program, 0o755);
    writeFileSync(join(directory, 'app.json'), '{}');
    const folders = ['.local/share/bash-completion/completions', '.config/fish/completions'];
    for (const folder of [...folders, '.zfunc']) {
      mkdirSync(join(directory, folder), { recursive: true });
    }
    for (const line of ['put greeting hello', 'put config/app 1', 'put greeting again']) {
      assert.equal((await inProcess(line)).code, 0);
    }
  });
  after(async () => {
    await cluster.stop();
    await another.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const endpoints = () => cluster.member(0).clientUrl;

  function placed(text: string): string {
    return text
      .replaceAll('127.0.0.1:22379', another.member(0).clientUrl)
      .replaceAll('127.0.0.1:2379', endpoints());
  }

  function inProcess(line: string, signal?: AbortSignal) {
    const env = { MAINSTAYCTL_ENDPOINTS: endpoints() };
    return runCommand(wordsOf(line), { env, ...(signal && { signal }) });
  }

  /** As a shell runs it, where it takes more than words. Rejects with the output of what failed. */
  async function shell(script: string): Promise<void> {
    const [, words] = /^mainstayctl ([^|&;<>()$`~*?#\\\n]+)$/.exec(script) ?? [];
    if (words !== undefined) {
      const { code, out, err } = await inProcess(words);
      if (code !== 0) throw Object.assign(new Error(err), { code, stdout: out });
      return;
    }
    const PATH = `${directory}:${process.env['PATH']}`;
    const env = { PATH, HOME: directory, MAINSTAYCTL_ENDPOINTS: endpoints() };
    await run('sh', ['-e', '-c', script], { cwd: directory, env });
  }

  /** A member that is known and not started, or for those that need one, a learner that runs. */
  async function idFor({ name }: CommandSpec): Promise<string> {
    const { out } = await inProcess('member list');
    const [, last = ''] = /^([0-9a-f]+), .*, true$/m.exec(out) ?? [];
    if (name === 'member promote') {
      const member = await cluster.newMember();
      const added = await inProcess(
        `member add ${member.name} --learner --peer-urls ${member.peerUrl}`,
      );
      await member.start(cluster.flagsFor('existing'));
      return /Member +([0-9a-f]+) added/.exec(added.out)?.[1] ?? assert.fail(added.err);
    }
    return name === 'move-leader' ? id : last;
  }

  async function prepare(spec: CommandSpec, { words }: Example): Promise<string> {
    for (const [pattern, lines] of preparations) {
      if (!pattern.test(words)) continue;
      for (const line of lines) {
        if (/^(snapshot|export)/.test(line)) await shell(`mainstayctl ${line}`);
        else await inProcess(placed(line));
      }
    }
    if (words.includes(memberId)) id = await idFor(spec);
    return id;
  }

  const own = ctlCommands
    .filter(({ chapter }) => chapter !== 'Backups')
    .toSorted((a, b) => lateness(a) - lateness(b));
  for (const spec of own) {
    for (const example of spec.examples) {
      test(commandLineOf(example), async () => {
        const made = (text: string) => placed(text.replaceAll(memberId, id));
        await prepare(spec, example);
        if (example.goesOn === true) {
          const enough = new AbortController();
          const going = inProcess(made(example.words), enough.signal);
          const ended = await Promise.race([going, sleep(300)]);
          assert.equal(ended, undefined, 'it goes on');
          enough.abort();
          const { code, err } = await going;
          assert.equal(code, 0, err);
          return;
        }
        const script = made(commandLineOf(example));
        // A busy machine may not keep up with the load; what is said of that is another test's.
        const mayFail = spec.name === 'check perf';
        try {
          await eventually(() => shell(script), spec.name === 'member promote');
        } catch (error) {
          const { stdout = '', code } = error as { stdout?: string; code?: number };
          if (!(mayFail && code === 1 && /FAIL|"all":false/.test(stdout))) throw error;
        }
        if (spec.name === 'auth enable') await inProcess('auth disable --user root:secret');
      });
    }
  }

  test('bash completes commands, flags and values', async () => {
    const { out } = await inProcess('completion bash');
    const script = join(directory, 'completion.bash');
    writeFileSync(script, out);
    const complete = (...words: readonly string[]) => {
      const list = ['mainstayctl', ...words].map((word) => `'${word}'`).join(' ');
      const source = `source ${script}; COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _mainstayctl; echo "\${COMPREPLY[*]}"`;
      return execFileSync('bash', ['-c', source], { encoding: 'utf8' }).trim();
    };
    assert.equal(complete('mem'), 'member');
    assert.equal(complete('member', 'p'), 'promote');
    assert.equal(complete('get', 'a', '--pre'), '--prefix');
    assert.equal(complete('get', 'a', '--write-out', 'j'), 'json');
    assert.equal(complete('member', 'add', '--le'), '--learner');
    assert.match(complete(''), /\bput get del txn\b/);
  });
});

/** A learner has to catch up first. */
async function eventually(attempt: () => Promise<unknown>, isPatient: boolean): Promise<void> {
  for (let left = isPatient ? 20 : 0; ; left--) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(200);
    }
  }
}
