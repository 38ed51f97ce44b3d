import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { after, before, beforeEach, suite, test } from 'node:test';
import { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { ctlCommands } from '../../../server/ctl/commands.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';
import { PutResponse, RangeResponse, ResponseHeader } from '../../../server/proto/gen/rpc.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { type CtlRun, runCommand } from '../../support/ctl.ts';
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

function ctl(words: readonly string[], env: Record<string, string> = {}): Promise<CtlRun> {
  return runCommand(words, {
    env: { ETCDCTL_ENDPOINTS: endpoint, ...env },
    input: 'from input',
    signal: enough.signal,
  });
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
    await ctl(['put', 'k', '--lease', 'ff']);
    const [first, second] = member.proposed;
    assert(first?.kind === 'put' && second?.kind === 'put');
    assert.equal(Buffer.from(first.value.value).toString(), 'v');
    assert.equal(Buffer.from(second.value.value).toString(), 'from input');
    assert.equal(second.value.lease, 255n);
    const prevKv = KeyValue.create({ key: Buffer.from('k'), value: Buffer.from('old') });
    member.answer = () => ({ response: PutResponse.create({ prevKv }), revision: 6 });
    assert.equal((await ctl(['put', 'k', 'v', '--prev-kv'])).out, 'OK\nk\nold\n');
    const json = JSON.parse((await ctl(['put', 'k', 'v', '-w', 'json'])).out) as object;
    assert.deepEqual(Object.keys(json), ['header', 'prev_kv']);
  });

  test('get, in every form', async () => {
    holding(['k', 'v'], ['bin', new Uint8Array([0xff, 10])]);
    assert.equal((await ctl(['get', 'k'])).out.slice(0, 4), 'k\nv\n');
    assert.equal((await ctl(['get', 'k', '--keys-only'])).out.slice(0, 4), 'k\nv\n');
    assert.equal((await ctl(['get', 'k', '--print-value-only'])).out.slice(0, 2), 'v\n');
    assert.equal(
      (await ctl(['get', '--prefix', '', '-w', 'table'])).out,
      'KEY  VALUE     VERSION  CREATED AT  MODIFIED AT  LEASE\n' +
        'k    v         2        3           4\n' +
        'bin  \\xff\\x0a  2        3           4\n',
    );
    assert.match(
      (await ctl(['get', 'k', '--write-out=json'])).out,
      /"kvs":\[\{"key":"aw==","create_revision":3,"mod_revision":4,"version":2,"value":"dg=="\},\{"key":"Ymlu",.*,"value":"\/wo="\}\],"count":2\}\n$/,
    );
    assert.match((await ctl(['get', 'k', '-w', 'fields'])).out, /\n"Value" : "\\xff\\n"\n/);
    assert.equal((await ctl(['get', 'k', '--hex'])).out.slice(0, 10), '\\x6b\n\\x76\n');
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
    assert.match(
      out,
      /^\{"Header":\{.*"Events":\[\{"kv":\{"key":"aw==","mod_revision":6,"value":"dg=="\}\}\],"CompactRevision":0,/,
    );
    enough = new AbortController();
  });

  test('watch --interactive tells of what is wrong with one line or one watch, and goes on', async () => {
    const ran = runCommand(['watch', '-i'], {
      env: { ETCDCTL_ENDPOINTS: endpoint },
      input: 'watch a --bogus\nfrob\nwatch a "\\xff"\nwatch a --rev 1\nwatch b\n',
      signal: enough.signal,
    });
    while (member.streams.length < 2 || !member.streams.every(({ calls }) => calls.length > 0)) {
      await new Promise(setImmediate);
    }
    const [first, second] = member.streams;
    first?.send({ watchId: 0n, canceled: true, compactRevision: 12 }, 20);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const kv = KeyValue.create({ key: Buffer.from('b'), value: Buffer.from('v'), modRevision: 21 });
    second?.send({ watchId: 0n, events: [{ type: 0, kv, prevKv: undefined }] }, 21);
    await new Promise((resolve) => setTimeout(resolve, 50));
    enough.abort();
    const { code, out, err } = await ran;
    enough = new AbortController();
    assert.equal(out, 'PUT\nb\nv\n');
    assert.equal(code, 1);
    for (const said of [
      /unknown flag --bogus/,
      /"frob" is neither/,
      /no text in UTF-8/,
      /--rev 12/,
    ]) {
      assert.match(err, said);
    }
  });

  test('status tells of members that are not there, and fails then', async () => {
    const well = await ctl(['status']);
    assert.equal(well.code, 0);
    assert.match(
      well.out,
      /^ENDPOINT +ID +VERSION +ROLE .*\n127\.0\.0\.1:\d+ +a1 +3\.6\.\d+ +leader +7 +29 of 30 +2\.0 KiB\n$/,
    );
    const { code, out } = await ctl(['status', '--endpoints', `${endpoint},127.0.0.1:1`]);
    assert.equal(code, 1);
    assert.match(out, /127\.0\.0\.1:1 .*cannot connect: connect ECONNREFUSED 127\.0\.0\.1:1\n$/);
  });

  test('member list', async () => {
    assert.equal(
      (await ctl(['member', 'list'])).out,
      'a1, started, a, http://a:2380, http://a:1, false\nb2, unstarted, , http://b:2380, , true\n',
    );
    assert.equal(
      (await ctl(['member', 'list', '-w', 'table'])).out,
      'ID  STATUS     NAME  PEER URLS      CLIENT URLS  IS LEARNER\n' +
        'a1  started    a     http://a:2380  http://a:1   false\n' +
        'b2  unstarted        http://b:2380               true\n',
    );
    assert.match(
      (await ctl(['member', 'list', '-w', 'json'])).out,
      /"members":\[\{"ID":161,"name":"a",/,
    );
    assert.match(
      (await ctl(['member', 'list', '-w', 'json', '--hex'])).out,
      /"ID":"a1","name":"a"/,
    );
  });

  test('help at every level', async () => {
    assert.match((await ctl([])).out, /^mainstayctl talks to/);
    assert.match((await ctl(['--help'])).out, /^mainstayctl talks to/);
    assert.match((await ctl(['put', '--help'])).out, /^mainstayctl put KEY .*\n\nWrite a key/);
    assert.match((await ctl(['help', 'member', 'list'])).out, /\n\nWho is in the cluster/);
    assert.match((await ctl(['member', '--help'])).out, /\n {2}member promote MEMBER_ID +Make a/);
    const flags = ['--endpoints', endpoint, '-w', 'json'];
    assert.match((await ctl([...flags, 'help', 'get'])).out, /^mainstayctl get KEY/);
    assert.match((await ctl(['help', ...flags, 'get'])).out, /^mainstayctl get KEY/);
    assert.match((await ctl([...flags, 'member', '--help'])).out, /^mainstayctl member has these/);
    assert.match((await ctl(flags)).out, /^mainstayctl talks to/);
    for (const { name, summary } of ctlCommands) {
      const { code, out } = await ctl([...name.split(' '), '--help']);
      assert.equal(code, 0);
      assert.ok(out.startsWith(`mainstayctl ${name}`) && out.includes(summary.slice(0, 40)), name);
      assert.match(out, /\n {2}.*mainstayctl /, name);
    }
  });

  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['frobnicate'], /unknown command "frobnicate"; mainstayctl --help lists them/],
    [['gte', 'a'], /unknown command "gte"; did you mean "get"\?/],
    [['member', 'lst'], /unknown command "member lst"; did you mean "member list"\?/],
    [['member'], /"member" needs one more word: list, add, promote, update, remove/],
    [['-w', 'json', 'member'], /"member" needs one more word: list, add/],
    [['-w', 'json', 'member', 'lst'], /"member lst"; did you mean "member list"\?/],
    [['--bogus'], /unknown flag --bogus of "mainstayctl"/],
    [['--endpoints'], /--endpoints needs a value/],
    [['watch'], /watch needs a KEY/],
    [['check', 'perf', '--duration', '0s'], /--duration: 0 is too short/],
    [['help', 'membr'], /unknown command "membr"; did you mean "member"\?/],
    [['put'], /usage: mainstayctl put KEY \[VALUE\]/],
    [['get'], /usage: mainstayctl get KEY \[RANGE_END\]/],
    [['get', 'a', 'b', '--prefix'], /exclude each other/],
    [['get', 'a', '--prefx'], /unknown flag --prefx of "get"; did you mean --prefix\?/],
    [['get', 'a', '--prefix=yes'], /--prefix: "yes" is not true or false/],
    [['get', 'a', '--limit'], /--limit needs a value: COUNT/],
    [['get', 'a', '--consistency', 'x'], /--consistency: "x" is not l or s/],
    [['get', 'a', '--order', 'up'], /--order: "up" is not ASCEND or DESCEND/],
    [['put', 'k', 'v', '-w', 'table'], /--write-out: "table" is not simple, json or fields/],
    [['elect', 'x'], /either a PROPOSAL or --listen/],
    [['role', 'grant-permission', 'r', 'all', 'k'], /"all" is not read, write or readwrite/],
    [['member', 'add', 'd'], /--peer-urls is missing/],
    [['lease', 'revoke', 'no'], /LEASE_ID: "no" is no hexadecimal id/],
    [['get', 'a', '--rev', 'x'], /--rev: "x" is no whole number/],
    [['put', 'k', 'v', '--lease', 'xyz'], /--lease: "xyz" is no hexadecimal id/],
    [['get', 'a', '-w', 'yaml'], /is not simple, json, fields or table/],
    [['get', 'a', '--command-timeout', '5'], /no time like 5s/],
    [['status', '--endpoints', 'unix://a:1'], /not of the form HOST:PORT/],
    [['get', 'k', '--cert', 'c.pem'], /KeyFile and CertFile must both be present/],
    [['get', 'k', '--cacert', '/no/such/file'], /--cacert: ENOENT/],
    [['get', 'k', '--insecure-transport=1'], /"1" is not true or false/],
    [['get', 'a', '--user', 'nobody'], /--user has no password/],
    [['status', '--endpoints', 'a:b'], /not of the form HOST:PORT/],
  ];
  for (const [words, message] of wrong) {
    test(`wrong: ${words.join(' ')}`, async () => {
      const { code, err } = await ctl(words);
      assert.equal(code, 2);
      assert.match(err, message);
      assert.match(err, /^mainstayctl: [^\n]+\n$/);
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
