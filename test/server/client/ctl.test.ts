import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { after, before, beforeEach, suite, test } from 'node:test';
import { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { runCtl } from '../../../server/client/ctl/ctl.ts';
import { backupCommands } from '../../../server/ctl/backup-commands.ts';
import { snapshotCommands } from '../../../server/ctl/snapshot-commands.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';
import { PutResponse, RangeResponse, ResponseHeader } from '../../../server/proto/gen/rpc.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { FakeMember } from '../api/fake-member.ts';

let member: FakeMember;
let listener: ClientListener;
let endpoint: string;

before(async () => {
  const port = new FakeMember();
  // Each test has a member of its own behind the one listener.
  const facade = new Proxy(port, {
    get: (_, name) => Reflect.get(member, name, member) as unknown,
  });
  const config = { listenClientUrls: ['http://127.0.0.1:0'], requestBytesMax: 1e6, txnOpsMax: 128 };
  member = port;
  listener = await ClientListener.open({ port: facade, logger: silentLogger }, config);
  endpoint = listener.addresses[0] ?? '';
});
beforeEach(() => {
  member = new FakeMember();
});
after(() => listener.stop());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function ctl(words: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  let out = '';
  let err = '';
  const terminal = {
    write: (output: string | Uint8Array) => {
      out += Buffer.from(output as string).toString();
    },
    complain: (text: string) => {
      err += text;
    },
    readInput: async () => Buffer.from('from input'),
    progress: undefined,
    signal: enough.signal,
  };
  const code = await runCtl(
    words,
    { ETCDCTL_ENDPOINTS: endpoint, ...env },
    { terminal, fileCommands: { ...snapshotCommands, ...backupCommands } },
  );
  return { code, out, err };
}

let enough = new AbortController();

function holding(...pairs: readonly (readonly [string | Uint8Array, string | Uint8Array])[]): void {
  const kvs = pairs.map(([key, value]) =>
    KeyValue.create({
      key: Buffer.from(key as string),
      value: Buffer.from(value as string),
      createRevision: 3,
      modRevision: 4,
      version: 2,
    }),
  );
  const header = ResponseHeader.create({ revision: 9 });
  member.range = () => RangeResponse.create({ header, kvs, count: kvs.length });
}

suite('mainstayctl', () => {
  test('put', async () => {
    assert.deepEqual(await ctl(['put', 'k', 'v']), { code: 0, out: 'OK\n', err: '' });
    await ctl(['put', 'k', '-', '--lease', 'ff']);
    const [first, second] = member.proposed;
    assert(first?.kind === 'put' && second?.kind === 'put');
    assert.equal(Buffer.from(first.value.value).toString(), 'v');
    assert.equal(Buffer.from(second.value.value).toString(), 'from input');
    assert.equal(second.value.lease, 255n);
    const prevKv = KeyValue.create({ key: Buffer.from('k'), value: Buffer.from('old') });
    member.answer = () => ({ response: PutResponse.create({ prevKv }), revision: 6 });
    assert.equal((await ctl(['put', 'k', 'v', '--prev-kv'])).out, 'OK\nk\nold\n');
    const json = JSON.parse((await ctl(['put', 'k', 'v', '-w', 'json'])).out) as object;
    assert.deepEqual(Object.keys(json), ['revision', 'prevKv']);
  });

  test('get, in every form', async () => {
    holding(['k', 'v'], ['bin', new Uint8Array([0xff, 10])]);
    assert.equal((await ctl(['get', 'k'])).out.slice(0, 4), 'k\nv\n');
    assert.equal((await ctl(['get', 'k', '--keys-only'])).out, 'k\nbin\n');
    assert.equal((await ctl(['get', 'k', '--print-value-only'])).out.slice(0, 2), 'v\n');
    assert.equal(
      (await ctl(['get', '--prefix', '', '-w', 'table'])).out,
      'KEY  VALUE     VERSION  CREATED AT  MODIFIED AT  LEASE\n' +
        'k    v         2        3           4\n' +
        'bin  \\xff\\x0a  2        3           4\n',
    );
    const json = JSON.parse((await ctl(['get', 'k', '--write-out=json'])).out) as {
      revision: number;
      kvs: Record<string, unknown>[];
    };
    assert.equal(json.revision, 9);
    assert.deepEqual(
      json.kvs.map(({ key, value, valueBase64 }) => [key, value, valueBase64]),
      [
        ['k', 'v', undefined],
        ['bin', undefined, '/wo='],
      ],
    );
    assert.equal((await ctl(['get', 'k', '--count-only'])).out.slice(0, 2), '2\n');
  });

  test('watch prints until it is interrupted', async () => {
    enough = new AbortController();
    const ran = ctl(['watch', '--prefix', 'k', '-w', 'json']);
    while (!member.streams[0]?.calls.length) await new Promise(setImmediate);
    const kv = KeyValue.create({ key: Buffer.from('k'), value: Buffer.from('v'), modRevision: 6 });
    member.streams[0].send({ watchId: 0n, events: [{ type: 0, kv, prevKv: undefined }] }, 6);
    await new Promise((resolve) => setTimeout(resolve, 50));
    enough.abort();
    const { code, out } = await ran;
    assert.equal(code, 0);
    assert.match(out, /^\{"type":"PUT","kv":\{"key":"k","value":"v",/);
    enough = new AbortController();
  });

  test('status tells of members that are not there, and fails then', async () => {
    const well = await ctl(['status']);
    assert.equal(well.code, 0);
    assert.match(
      well.out,
      /^ENDPOINT +ID +VERSION +ROLE .*\nhttp:.* a1 +3\.6\.\d+ +leader +7 +29 of 30 +2\.0 KiB\n$/,
    );
    const { code, out } = await ctl(['status', '--endpoints', `${endpoint},127.0.0.1:1`]);
    assert.equal(code, 1);
    assert.match(out, /127\.0\.0\.1:1 .*cannot connect: connect ECONNREFUSED 127\.0\.0\.1:1\n$/);
  });

  test('member list', async () => {
    const { out } = await ctl(['member', 'list']);
    assert.equal(
      out,
      'ID  STATUS     NAME  ROLE     PEER URLS      CLIENT URLS\n' +
        'a1  started    a     voter    http://a:2380  http://a:1\n' +
        'b2  unstarted        learner  http://b:2380\n',
    );
    const json = JSON.parse((await ctl(['member', 'list', '-w', 'json'])).out) as {
      members: { ID: string }[];
    };
    assert.equal(json.members[0]?.ID, 'a1');
  });

  test('help at every level', async () => {
    assert.match((await ctl([])).out, /^mainstayctl talks to/);
    assert.match((await ctl(['--help'])).out, /^mainstayctl talks to/);
    assert.match((await ctl(['put', '--help'])).out, /^Write a key/);
    assert.match((await ctl(['help', 'member', 'list'])).out, /^Who is in the cluster/);
  });

  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['frob'], /unknown command "frob"/],
    [['member'], /unknown command "member"/],
    [['put', 'k'], /usage: put KEY VALUE/],
    [['get'], /usage: get KEY/],
    [['get', 'a', 'b', '--prefix'], /exclude each other/],
    [['get', 'a', '--frob'], /Unknown option '--frob'/],
    [['get', 'a', '--rev', 'x'], /--rev: "x" is no whole number/],
    [['put', 'k', 'v', '--lease', 'xyz'], /no hexadecimal id/],
    [['get', 'a', '-w', 'yaml'], /is not simple, table or json/],
    [['get', 'a', '--command-timeout', '5'], /no time like 5s/],
    [['status', '--endpoints', 'unix://a:1'], /not of the form HOST:PORT/],
    [['get', 'k', '--cert', 'c.pem'], /KeyFile and CertFile must both be present/],
    [['get', 'k', '--cacert', '/no/such/file'], /ENOENT/],
    [['get', 'k', '--insecure-transport=1'], /"1" is not true or false/],
    [['get', 'a', '--user', 'nobody'], /--user has no password/],
    [['status', '--endpoints', 'a:b'], /not of the form HOST:PORT/],
  ];
  for (const [words, message] of wrong) {
    test(`wrong: ${words.join(' ')}`, async () => {
      const { code, err } = await ctl(words);
      assert.equal(code, 2);
      assert.match(err, message);
      assert.match(err, /Try: mainstayctl --help\n$/);
    });
  }

  test('failures say what to do next', async () => {
    const nobody = await ctl(['put', 'k', 'v', '--command-timeout', '200ms'], {
      MAINSTAYCTL_ENDPOINTS: '127.0.0.1:1',
    });
    assert.equal(nobody.code, 1);
    assert.match(nobody.err, /cannot connect[^]*Is a member running there\?/);
    member.answer = () => Promise.reject(new EtcdError('Timeout'));
    const uncertain = await ctl(['put', 'k', 'v']);
    assert.match(uncertain.err, /request timed out[^]*may have taken effect/);
    member.range = () => {
      throw new EtcdError('Compacted');
    };
    assert.match((await ctl(['get', 'k', '--rev', '1'])).err, /history is gone/);
    member.raft.leader = 0n;
    member.read = () => Promise.reject(new EtcdError('NoLeader'));
    const leaderless = await ctl(['get', 'k', '--command-timeout', '100ms']);
    assert.match(leaderless.err, /An election is under way/);
  });
});
