import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, beforeEach, suite, test } from 'node:test';
import { silentLogger } from '../../../server/base/logger.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { programPath } from '../../support/programs.ts';
import { FakeMember } from '../api/fake-member.ts';

const main = programPath('server/ctl/main');

const timeout = 30_000;

suite('mainstayctl as a process, whose standard input stays open', () => {
  const member = new FakeMember();
  let listener: ClientListener;
  let silent: Server;
  const children: ChildProcessWithoutNullStreams[] = [];

  before(async () => {
    const config = {
      listenClientUrls: ['http://127.0.0.1:0'],
      requestBytesMax: 1e6,
      txnOpsMax: 128,
    };
    listener = await ClientListener.open({ port: member, logger: silentLogger }, config);
    silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
  });
  beforeEach(() => {
    member.calls.length = 0;
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    silent.close();
    await listener.stop();
  });

  function start(words: readonly string[], endpoint = listener.addresses[0]) {
    const child = spawn(process.execPath, [main, ...words, '--endpoints', endpoint ?? ''], {
      env: { PATH: process.env['PATH'] },
    });
    children.push(child);
    return child;
  }

  async function endOf(child: ChildProcessWithoutNullStreams) {
    const seen = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => (seen.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (seen.err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...seen };
  }

  test('txn ends when its parts are there', { timeout }, async () => {
    const child = start(['txn']);
    child.stdin.write('\nget k\n\n\n');
    const { code, out, err } = await endOf(child);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^SUCCESS\n/);
  });

  test('put that waits for its value ends at Ctrl-C and writes nothing', { timeout }, async () => {
    const child = start(['put', 'k']);
    const ended = endOf(child);
    // More than a pipe holds: when it is written, it is being read.
    await new Promise((resolve) => child.stdin.write('x'.repeat(1 << 20), resolve));
    child.kill('SIGINT');
    const { code, err } = await ended;
    assert.deepEqual([code, err], [1, '']);
    assert.deepEqual(member.calls, []);
  });

  test('a call to a member that does not answer ends at Ctrl-C', { timeout }, async () => {
    const { port } = silent.address() as AddressInfo;
    const times = ['--command-timeout', '10m', '--dial-timeout', '10m'];
    const child = start(['get', 'k', ...times], `127.0.0.1:${port}`);
    const ended = endOf(child);
    const [socket] = (await once(silent, 'connection')) as [Socket];
    child.kill('SIGINT');
    const { code, err } = await ended;
    socket.destroy();
    assert.deepEqual([code, err], [1, '']);
  });
});
