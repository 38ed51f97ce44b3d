import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Files } from '../../support/certificates.ts';
import { needs, type ToolName, toolPath } from '../../support/tools.ts';
import { onVariants, type SecuredStore } from './variants.ts';

// Both versions of etcdctl, Debian's 3.4 and 3.5. What 3.5 prints is compared with what it prints of etcd, to the letter, in
// ../etcdctl.test.ts; here both do their work in clear and over TLS with authentication.

const runTimeoutMs = 30_000;

type Access = Pick<SecuredStore, 'url' | 'certificates' | 'user'>;

class Ctl {
  readonly #tool: ToolName;
  readonly #args: readonly string[];
  readonly #running = new Set<ChildProcess>();

  constructor(tool: ToolName, { url, certificates, user }: Access) {
    this.#tool = tool;
    this.#args = [
      `--endpoints=${url}`,
      // Of this also the login has to be done in time.
      '--dial-timeout=20s',
      ...(certificates === undefined
        ? []
        : [
            `--cacert=${certificates.caFile}`,
            `--cert=${certificates.certFile}`,
            `--key=${certificates.keyFile}`,
          ]),
      ...(user === undefined ? [] : [`--user=${user.username}:${user.password}`]),
    ];
  }

  /** Output of a command that succeeds. */
  ok(args: string, input = ''): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        toolPath(this.#tool),
        [...this.#args, ...args.split(' ')],
        { env: { ETCDCTL_API: '3' }, timeout: runTimeoutMs },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else reject(new Error(`etcdctl ${args}: ${stderr}`, { cause: error }));
        },
      );
      // A program that ends before it has read all says why by its status.
      child.stdin?.on('error', () => undefined).end(input);
    });
  }

  async refused(args: string): Promise<string> {
    try {
      await this.ok(args);
    } catch (error) {
      return String(error);
    }
    return assert.fail(`etcdctl ${args} has succeeded`);
  }

  /** A command that goes on until it is interrupted. */
  start(args: string): Running {
    const env = { ETCDCTL_API: '3' };
    const child = spawn(toolPath(this.#tool), [...this.#args, ...args.split(' ')], { env });
    this.#running.add(child);
    return new Running(child);
  }

  stop(): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }
}

class Running {
  #output = '';
  #complaint = '';
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint += text;
    });
  }

  /** The first lines of the output. */
  async lines(count: number): Promise<string[]> {
    const deadline = performance.now() + runTimeoutMs;
    for (;;) {
      const lines = this.#output.split('\n').slice(0, -1);
      if (lines.length >= count) return lines.slice(0, count);
      const isOver = this.#child.exitCode !== null || performance.now() > deadline;
      assert(!isOver, `no ${count} lines: ${this.#output}${this.#complaint}`);
      await sleep(10);
    }
  }

  async interrupt(): Promise<void> {
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    await closed;
  }
}

for (const tool of ['etcdctl', 'etcdctl-3.4'] as const) {
  onVariants(tool === 'etcdctl' ? 'etcdctl 3.5' : 'etcdctl 3.4', needs(tool), (store) => {
    const run = async (work: (ctl: Ctl) => Promise<void>) => {
      const ctl = new Ctl(tool, store);
      try {
        await work(ctl);
      } finally {
        ctl.stop();
      }
    };

    test('put, get, del and txn', () =>
      run(async (ctl) => {
        assert.equal(await ctl.ok('put k/a 1'), 'OK\n');
        assert.equal(await ctl.ok('put k/a 2 --prev-kv'), 'OK\nk/a\n1\n');
        await ctl.ok('put k/b -- -3');
        assert.equal(await ctl.ok('get k/ --prefix'), 'k/a\n2\nk/b\n-3\n');
        assert.equal(await ctl.ok('get k/a k/b --print-value-only'), '2\n');
        const { count } = JSON.parse(await ctl.ok('get k/ --prefix --limit 1 -w json'));
        assert.equal(count, 2);
        const txn = 'value("k/a") = "2"\n\nput k/c yes\nget k/b\n\nput k/c no\n\n';
        assert.equal(await ctl.ok('txn', txn), 'SUCCESS\n\nOK\n\nk/b\n-3\n');
        assert.match(await ctl.refused('put k/a x --lease=1234'), /requested lease not found/);
        assert.equal(await ctl.ok('del k/ --prefix'), '3\n');
      }));

    test('watch', () =>
      run(async (ctl) => {
        const { header } = JSON.parse(await ctl.ok('put w/a 1 -w json'));
        const watch = ctl.start(`watch w/ --prefix --rev=${header.revision} --prev-kv`);
        assert.deepEqual(await watch.lines(3), ['PUT', 'w/a', '1']);
        await ctl.ok('del w/a');
        assert.deepEqual((await watch.lines(8)).slice(3), ['DELETE', 'w/a', '1', 'w/a', '']);
        await watch.interrupt();
      }));

    test('lease', () =>
      run(async (ctl) => {
        const granted = /^lease ([0-9a-f]+) granted with TTL\(600s\)\n$/.exec(
          await ctl.ok('lease grant 600'),
        );
        const id = granted?.[1] ?? assert.fail('no lease');
        await ctl.ok(`put l/a 1 --lease=${id}`);
        assert.match(await ctl.ok(`lease timetolive ${id} --keys`), /attached keys\(\[l\/a\]\)/);
        assert.match(await ctl.ok(`lease keep-alive --once ${id}`), /keepalived with TTL\(600\)/);
        assert.match(await ctl.ok('lease list'), new RegExp(id));
        assert.equal(await ctl.ok(`lease revoke ${id}`), `lease ${id} revoked\n`);
        assert.equal(await ctl.ok('get l/a'), '');
      }));

    test('lock and elect', () =>
      run(async (ctl) => {
        const first = ctl.start('lock door');
        const [key = ''] = await first.lines(1);
        assert.match(key, /^door\/[0-9a-f]+$/);
        const second = ctl.start('lock door');
        await first.interrupt();
        const [next] = await second.lines(1);
        assert.notEqual(next, key);
        await second.interrupt();
        const leader = ctl.start('elect chair me');
        const [office = ''] = await leader.lines(1);
        assert.match(office, /^chair\/[0-9a-f]+$/);
        const listener = ctl.start('elect --listen chair');
        assert.deepEqual(await listener.lines(2), [office, 'me']);
        await leader.interrupt();
        await listener.interrupt();
      }));

    // 3.4 puts the whole URL into `:authority` where the host belongs, which is taken too.
    test('endpoint status', () =>
      run(async (ctl) => {
        const status = await ctl.ok('endpoint status');
        assert.match(status, /, 3\.\d+\.\d+, .*, true, false, \d+, \d+/);
      }));

    test('endpoint hashkv', () =>
      run(async (ctl) => {
        assert.match(await ctl.ok('endpoint hashkv'), /, \d+/);
      }));

    test('members', () =>
      run(async (ctl) => {
        const list = await ctl.ok('member list');
        assert.match(list, /^[0-9a-f]+, started, m1, http/);
        assert.match(await ctl.ok('alarm list'), /^$/);
        await ctl.ok('endpoint health');
        const { header } = JSON.parse(await ctl.ok('put m/a 1 -w json'));
        assert.equal(
          await ctl.ok(`compaction ${header.revision}`),
          `compacted revision ${header.revision}\n`,
        );
      }));

    test('defrag', () =>
      run(async (ctl) => {
        assert.match(await ctl.ok('defrag'), /^Finished defragmenting etcd member\[.*\]/);
      }));

    test('snapshot', () =>
      run(async (ctl) => {
        const files = new Files();
        const path = join(files.directory, 'snapshot.db');
        await ctl.ok(`snapshot save ${path}`);
        assert.equal(statSync(path).size % 512, 32);
        files.remove();
      }));

    test('users and roles', () =>
      run(async (ctl) => {
        await ctl.ok('role add reader');
        await ctl.ok('role grant-permission reader read r/ --prefix');
        await ctl.ok('user add ann:secret');
        await ctl.ok('user grant-role ann reader');
        assert.match(await ctl.ok('role get reader'), /KV Read:\n\t\[r\/, r0\) \(prefix r\/\)/);
        assert.match(await ctl.ok('user get ann'), /Roles: reader/);
        assert.match(await ctl.ok('user list'), /ann/);
        await ctl.ok('put r/a 1');
        if (store.user !== undefined) {
          const ann = new Ctl(tool, {
            certificates: store.certificates,
            url: store.url,
            user: { username: 'ann', password: 'secret' },
          });
          assert.equal(await ann.ok('get r/a'), 'r/a\n1\n');
          assert.match(await ann.refused('put r/a 2'), /permission denied/);
        }
        await ctl.ok('user delete ann');
        await ctl.ok('role delete reader');
      }));
  });
}
