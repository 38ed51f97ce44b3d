import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GrpcCode } from '../../../server/api/errors.ts';
import { Gateway } from '../../../server/api/gateway.ts';
import { Services } from '../../../server/api/services.ts';
import { auditRows } from '../../../server/audit/subject.ts';
import { PermissionType } from '../../../server/proto/gen/auth.ts';
import { Lock } from '../../../server/proto/gen/lock.ts';
import {
  AlarmAction,
  Auth,
  Cluster,
  KV,
  Lease,
  Maintenance,
  Watch,
  WatchCreateRequest,
} from '../../../server/proto/gen/rpc.ts';
import type { Method } from '../../../server/proto/wire.ts';
import { GrpcChannel, type Headers } from '../../support/grpc.ts';
import { programPath } from '../../support/programs.ts';
import { type MemberProcess, withCluster } from '../../support/server-process.ts';

// What a real member writes down of what it is asked, by gRPC and by the gateway.

/** Stands in every value and every password; no byte of it may come out. */
const canary = 'CANARY-9f3b';
const bytes = (text: string): Uint8Array => Buffer.from(text);
const directory = mkdtempSync(join(tmpdir(), 'mainstay-test-audit-member-'));
after(() => rmSync(directory, { recursive: true }));

interface Line {
  readonly seq: number;
  readonly kind: string;
  readonly call: string;
  readonly user?: string;
  readonly from?: string;
  readonly via?: string;
  readonly outcome?: string;
  readonly ranges?: readonly Readonly<Record<string, string>>[];
}

function linesOf(path: string): Line[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  assert.equal(lines.pop(), '', 'the file ends with a line');
  return lines.map((line) => JSON.parse(line) as Line);
}

const codeNames = new Map<number, string>(
  Object.entries(GrpcCode).map(([name, code]) => [code, name]),
);

/** Calls a member, by either way, and keeps what it was answered. */
class Asking {
  /** What has to be in the log, in order: call, way, user, outcome. */
  readonly expected: (readonly [string, string, string | undefined, string])[] = [];
  readonly #member: MemberProcess;
  readonly #channel: GrpcChannel;
  readonly #paths = new Map<string, string>();
  token: string | undefined;
  user: string | undefined;

  constructor(member: MemberProcess) {
    this.#member = member;
    this.#channel = new GrpcChannel(member.clientUrl);
    for (const [path, rpc] of new Gateway(new Services([])).paths) this.#paths.set(rpc, path);
  }

  get #headers(): Headers {
    return this.token === undefined ? {} : { token: this.token };
  }

  async grpc<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request> = {},
    user = this.user,
  ): Promise<Response | undefined> {
    const outcome = await this.#channel.call(method, request, this.#headers);
    const code = outcome.kind === 'ok' ? 0 : outcome.code;
    this.expected.push([method.path.slice(1), 'grpc', user, codeNames.get(code) ?? '']);
    return outcome.kind === 'ok' ? outcome.response : undefined;
  }

  async gateway(method: { path: string }, request: object = {}, user = this.user): Promise<void> {
    const headers: Record<string, string> =
      this.token === undefined ? {} : { Authorization: this.token };
    const url = `${this.#member.clientUrl}${this.#paths.get(method.path)}`;
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(request) });
    const { code = 0 } = (await response.json()) as { code?: number };
    this.expected.push([method.path.slice(1), 'gateway', user, codeNames.get(code) ?? '']);
  }

  async snapshot(): Promise<void> {
    const { snapshot } = Maintenance.methods;
    const stream = this.#channel.stream(snapshot, this.#headers);
    stream.send({});
    stream.halfClose();
    const end = await stream.ended();
    assert.deepEqual(end, { kind: 'error', code: 0, message: '' });
    this.expected.push([snapshot.path.slice(1), 'grpc', this.user, 'OK']);
  }

  close(): void {
    this.#channel.close();
  }
}

/** Everything of Auth, Cluster and Maintenance that a person or program may ask for, right and wrong, by both ways. */
async function administer(asking: Asking): Promise<void> {
  const { methods: auth } = Auth;
  const password = `pw-${canary}`;
  await asking.grpc(auth.userAdd, { name: 'root', password });
  await asking.grpc(auth.userAdd, { name: 'root', password });
  await asking.gateway(auth.userAdd, { name: 'bob', password });
  await asking.grpc(auth.roleAdd, { name: 'root' });
  await asking.gateway(auth.roleAdd, { name: 'reader' });
  await asking.grpc(auth.userGrantRole, { user: 'root', role: 'root' });
  await asking.gateway(auth.userGrantRole, { user: 'bob', role: 'reader' });
  await asking.gateway(auth.userGrantRole, { user: 'bob', role: 'nobody' });
  const perm = { permType: PermissionType.READ, key: bytes('/app/'), rangeEnd: bytes('/app0') };
  await asking.grpc(auth.roleGrantPermission, { name: 'reader', perm });
  await asking.grpc(auth.authEnable);
  await asking.grpc(auth.authenticate, { name: 'root', password: `wrong-${canary}` }, 'root');
  await asking.gateway(auth.authenticate, { name: 'eve', password: `wrong-${canary}` }, 'eve');
  await asking.grpc(auth.userList);
  const login = await asking.grpc(auth.authenticate, { name: 'root', password }, 'root');
  asking.token = login?.token;
  asking.user = 'root';
  for (const method of [auth.userList, auth.roleList, auth.authStatus]) {
    await asking.grpc(method as Method<object, unknown>);
    await asking.gateway(method);
  }
  await asking.grpc(auth.userGet, { name: 'bob' });
  await asking.gateway(auth.roleGet, { role: 'reader' });
  await asking.grpc(auth.userChangePassword, { name: 'bob', password: `new-${canary}` });
  await asking.grpc(auth.userAdd, { name: 'gone', options: { noPassword: true } });
  await asking.gateway(auth.userRevokeRole, { name: 'bob', role: 'root' });
  await asking.grpc(auth.userDelete, { name: 'gone' });
  await asking.grpc(auth.roleAdd, { name: 'short' });
  await asking.gateway(auth.roleRevokePermission, { role: 'short', key: 'YQ==' });
  await asking.gateway(auth.roleDelete, { role: 'short' });
  await maintain(asking);
  await asking.gateway(auth.authenticate, { name: 'bob', password: `new-${canary}` }, 'bob');
  await asking.grpc(auth.authDisable);
}

async function maintain(asking: Asking): Promise<void> {
  const { methods: cluster } = Cluster;
  const { methods: maintenance } = Maintenance;
  await asking.grpc(cluster.memberAdd, { peerURLs: ['no url'] });
  await asking.gateway(cluster.memberAdd, { peerURLs: ['http://127.0.0.1:1'], isLearner: true });
  await asking.grpc(cluster.memberRemove, { ID: 5n });
  await asking.grpc(cluster.memberPromote, { ID: 5n });
  await asking.gateway(cluster.memberUpdate, { ID: '5', peerURLs: ['http://127.0.0.1:2'] });
  await asking.grpc(maintenance.alarm, { action: AlarmAction.DEACTIVATE });
  await asking.gateway(maintenance.defragment);
  await asking.grpc(maintenance.hash);
  await asking.gateway(maintenance.hashKV);
  await asking.grpc(maintenance.moveLeader, { targetID: 5n });
  await asking.grpc(maintenance.downgrade, { version: 'x' });
  await asking.grpc(KV.methods.compact, { revision: 1_000 });
  await asking.snapshot();
}

suite('the audit log of a member', () => {
  test('has every call of authentication and administration with its outcome, and no value', async () => {
    const path = join(directory, 'all.log');
    const rules = 'write:/app/,read:/app/';
    const flags = ['--audit-log-path', path, '--audit-log-rules', rules, '--bcrypt-cost=4'];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const asking = new Asking(cluster.member(0));
      await asking.grpc(KV.methods.put, { key: bytes('/app/1'), value: bytes(canary) });
      await asking.gateway(KV.methods.range, { key: Buffer.from('/app/1').toString('base64') });
      await administer(asking);
      asking.close();
      await cluster.member(0).stop('SIGTERM');
      const lines = linesOf(path);
      assert.equal(lines[0]?.call, 'begin');
      assert.equal(lines.at(-1)?.call, 'end');
      assert.deepEqual(
        lines.slice(1, -1).map(({ call, via, user, outcome }) => [call, via, user, outcome]),
        asking.expected,
      );
      assert.deepEqual(
        lines.map(({ seq }) => seq),
        lines.map((_, index) => index + 1),
      );
      for (const { from } of lines.slice(1, -1))
        assert.match(from ?? '', /^(::ffff:)?127\.0\.0\.1:\d+$/);
      const asked = new Set(asking.expected.map(([call]) => `/${call}`));
      const always = [...auditRows].filter(([, { kind }]) => kind === 'auth' || kind === 'admin');
      assert.deepEqual(
        always.map(([path]) => path).filter((path) => !asked.has(path)),
        [],
        'every such call there is was made',
      );
      // It can fail: successes, refusals and both ways are among them.
      const outcomes = new Set(asking.expected.map(([, , , outcome]) => outcome));
      for (const outcome of ['OK', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'NOT_FOUND']) {
        assert.ok(outcomes.has(outcome), outcome);
      }
      assert.doesNotMatch(readFileSync(path, 'utf8'), new RegExp(canary));
      assert.doesNotMatch(cluster.member(0).log, new RegExp(canary));
    });
  });

  test('has refusals whatever the rules say, those of watches and locks among them', async () => {
    const path = join(directory, 'refusals.log');
    const flags = ['--audit-log-path', path, '--bcrypt-cost=4'];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const member = cluster.member(0);
      const asking = new Asking(member);
      const { methods: auth } = Auth;
      for (const name of ['root', 'bob']) await asking.grpc(auth.userAdd, { name, password: 'pw' });
      await asking.grpc(auth.userGrantRole, { user: 'root', role: 'root' });
      await asking.grpc(auth.authEnable);
      await asking.grpc(KV.methods.range, { key: bytes('/x') });
      asking.token = (await asking.grpc(auth.authenticate, { name: 'bob', password: 'pw' }))?.token;
      await asking.grpc(KV.methods.put, { key: bytes('/x'), value: bytes(canary) });
      await asking.grpc(Lock.methods.lock, { name: bytes('/lock') });
      await asking.grpc(Lease.methods.leaseGrant, { TTL: 5 });
      const channel = new GrpcChannel(member.clientUrl);
      const stream = channel.stream(Watch.methods.watch, { token: asking.token ?? '' });
      const value = WatchCreateRequest.create({ key: bytes('/x'), rangeEnd: bytes('/y') });
      stream.send({ requestUnion: { kind: 'createRequest', value } });
      await stream.find(0, ({ canceled }) => canceled);
      asking.token = 'nonsense.1';
      await asking.grpc(Maintenance.methods.status);
      channel.close();
      asking.close();
      await member.stop('SIGTERM');
      const lines = linesOf(path).slice(5, -1);
      assert.deepEqual(
        lines.map(({ call, user, outcome, ranges }) => [call, user, outcome, ranges?.[0]?.['key']]),
        [
          ['etcdserverpb.KV/Range', undefined, 'INVALID_ARGUMENT', '/x'],
          ['etcdserverpb.Auth/Authenticate', 'bob', 'OK', undefined],
          ['etcdserverpb.KV/Put', 'bob', 'PERMISSION_DENIED', '/x'],
          ['v3lockpb.Lock/Lock', 'bob', 'UNKNOWN', '/lock/'],
          ['etcdserverpb.Watch/Watch', 'bob', 'PERMISSION_DENIED', '/x'],
          ['etcdserverpb.Maintenance/Status', undefined, 'UNAUTHENTICATED', undefined],
        ],
      );
    });
  });

  test('goes to standard output on request, and leaves whole files behind when it is rotated', async () => {
    const path = join(directory, 'rotated', 'audit.log');
    const flags = [
      '--audit-log-path',
      path,
      '--audit-log-rules=write:*',
      '--audit-log-max-size-mb=1',
      '--audit-log-max-files=2',
    ];
    await withCluster({ program: 'mainstay', flags }, async (cluster) => {
      const asking = new Asking(cluster.member(0));
      const key = Buffer.alloc(900, 'k');
      for (let batch = 0; batch < 8; batch++) {
        await Promise.all(
          Array.from({ length: 250 }, () =>
            asking.grpc(KV.methods.put, { key, value: bytes('v') }),
          ),
        );
      }
      const metrics = await (await fetch(`${cluster.member(0).clientUrl}/metrics`)).text();
      assert.match(metrics, /^mainstay_audit_lines_dropped_total 0$/m);
      asking.close();
      await cluster.member(0).stop('SIGTERM');
      const names = readdirSync(join(directory, 'rotated')).toSorted();
      assert.ok(names.length >= 2 && names.length <= 3, names.join());
      const lines = names.flatMap((name) => linesOf(join(directory, 'rotated', name)));
      const sequence = lines.map(({ seq }) => seq).toSorted((a, b) => a - b);
      assert.deepEqual(
        sequence,
        Array.from(sequence, (_, index) => index + 1),
      );
      assert.equal(sequence.length, 2_002);
    });
    await withCluster({ program: 'mainstay', flags: ['--audit-log-path=-'] }, async (cluster) => {
      await cluster.member(0).logged('"kind":"audit","call":"begin"');
    });
  });

  test('ends although nobody reads its standard output', async () => {
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const reader = openSync(pipe, 'r+');
    await withCluster({ program: 'mainstay' }, async (cluster) => {
      const member = cluster.member(0);
      await member.stop('SIGTERM');
      const flags = ['--audit-log-path=-', '--audit-log-rules=write:*'];
      const wrapper = ['sh', '-c', `exec "$@" > ${pipe}`, 'sh'];
      member.spawn([...cluster.flagsFor('existing'), ...flags], { wrapper });
      await member.ready();
      const asking = new Asking(member);
      const key = Buffer.alloc(500, 'k');
      // More than a pipe holds.
      for (let count = 0; count < 300; count++) {
        await asking.grpc(KV.methods.put, { key, value: bytes('v') });
      }
      asking.close();
      await sleep(500);
      member.signal('SIGTERM');
      const isLate = sleep(20_000, 'late', { ref: false });
      assert.notEqual(await Promise.race([member.exited, isLate]), 'late');
      assert.match(member.log, /the end of the audit log is lost/);
      assert.equal((await member.exited).code, 0);
    });
    closeSync(reader);
  });

  test('has what was still under way when the member stopped', async () => {
    const path = join(directory, 'stopped.log');
    const flags = ['--audit-log-path', path, '--audit-log-rules=write:*'];
    await withCluster({ program: 'mainstay', size: 3 }, async (cluster) => {
      const member = cluster.member(0);
      await member.stop('SIGTERM');
      await member.start([...cluster.flagsFor('existing'), ...flags]);
      await cluster.member(1).stop();
      await cluster.member(2).stop();
      const asking = new Asking(member);
      const put = asking.grpc(KV.methods.put, { key: bytes('/x'), value: bytes(canary) });
      const user = asking.grpc(Auth.methods.userAdd, { name: 'late', password: canary });
      await sleep(500);
      await member.stop('SIGTERM');
      await Promise.allSettled([put, user]);
      asking.close();
      const lines = linesOf(path);
      assert.deepEqual(lines.map(({ call }) => call).toSorted(), [
        'begin',
        'end',
        'etcdserverpb.Auth/UserAdd',
        'etcdserverpb.KV/Put',
      ]);
      assert.equal(lines.at(-1)?.call, 'end');
    });
  });

  test('without a place to write, the member does not begin', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    await withCluster({ program: 'mainstay' }, async (cluster) => {
      const member = cluster.member(0);
      await member.stop('SIGTERM');
      member.spawn([...cluster.flagsFor('existing'), '--audit-log-path', join(file, 'audit.log')]);
      const { code } = await member.exited;
      assert.equal(code, 2);
      assert.match(member.log, /--audit-log-path: the file cannot be written/);
      assert.equal(existsSync(join(file, 'audit.log')), false);
    });
    // Nor does a new one leave anything behind.
    const dataDir = join(directory, 'never');
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        programPath('server/main'),
        `--data-dir=${dataDir}`,
        '--audit-log-path',
        join(file, 'a.log'),
      ],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(status, 2, stderr);
    assert.equal(existsSync(dataDir), false);
  });
});
