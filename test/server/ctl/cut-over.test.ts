import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { latin1 } from '../../../server/base/bytes.ts';
import { Client } from '../../../server/client/client.ts';
import { keysUnder } from '../../../server/client/keys.ts';
import { type CtlRun, runCommand } from '../../support/ctl.ts';
import { freePort, TestCluster } from '../../support/server-process.ts';

const reserved = '__mainstay/';

suite('mainstayctl mirror --cut-over', { timeout: 240_000 }, () => {
  let clusters: TestCluster[] = [];
  let source: Client;
  let destination: Client;
  let directory = '';

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'cut-over-'));
    clusters = await Promise.all([
      TestCluster.start({ program: 'mainstay' }),
      TestCluster.start({ program: 'mainstay' }),
    ]);
    const [from = '', to = ''] = clusters.map((cluster) => cluster.member(0).clientUrl);
    source = new Client({ endpoints: [from] });
    destination = new Client({ endpoints: [to] });
  });
  after(async () => {
    source.close();
    destination.close();
    await Promise.all(clusters.map((cluster) => cluster.stop()));
    rmSync(directory, { recursive: true });
  });

  function ctl(words: string, signal?: AbortSignal, onOutput?: (out: string) => void) {
    const env = { MAINSTAYCTL_ENDPOINTS: source.endpoints.join() };
    const line = ['mirror', destination.endpoints.join(), ...words.split(' ').filter(Boolean)];
    return runCommand(line, { env, ...(signal && { signal }), ...(onOutput && { onOutput }) });
  }

  /** A mirror that goes on until it is stopped, or ends by itself. */
  function mirror(words: string): { ended: Promise<CtlRun>; stop: () => void } {
    const enough = new AbortController();
    return { ended: ctl(words, enough.signal), stop: () => enough.abort() };
  }

  function resultIn(file: string): Record<string, unknown> {
    return JSON.parse(readFileSync(file, 'utf8'));
  }

  async function keptBeside(prefix: string): Promise<string[]> {
    const { kvs } = await destination.range(keysUnder(reserved));
    const mine = Buffer.from(prefix).toString('base64');
    return kvs.map(({ value }) => latin1(value)).filter((text) => text.includes(mine));
  }

  test('waits for the last write, then no mirror writes there any more', async () => {
    const { ID } = await source.leaseGrant(600);
    await source.put('a/leased', 'l', { lease: ID });
    const running = mirror('--prefix a/');
    let isStopped = false;
    let writes = 0;
    const application = (async () => {
      while (!isStopped) await source.put(`a/${writes++}`, String(writes));
    })();
    const file = join(directory, 'result');
    let said = '';
    const cut = ctl(
      `--prefix a/ --cut-over --still 1s -w json --result-file ${file}`,
      undefined,
      (out) => {
        said = out;
        if (out.includes('"written"')) isStopped = true;
      },
    );
    const done = await cut;
    await application;
    assert.equal(done.code, 0, done.err);
    assert.match(said, /the source was written to at revision \d+: stop what writes there/);
    const result = resultIn(file);
    assert.equal(result['ok'], true);
    assert.equal(result['keys'], writes + 1);
    assert.equal(result['leases'], 1);
    const [there, here] = await Promise.all(
      [destination, source].map((side) => side.range(keysUnder('a/'))),
    );
    assert.deepEqual(
      there?.kvs.map(({ key, value, lease }) => [latin1(key), latin1(value), lease]),
      here?.kvs.map(({ key, value, lease }) => [latin1(key), latin1(value), lease]),
    );
    // The mirror that runs still, and one that is started later.
    await source.put('a/too-late', 'x');
    const overtaken = await running.ended;
    assert.equal(overtaken.code, 1);
    assert.match(overtaken.err, /somebody else has written/);
    const later = await ctl(`--prefix a/ --once --result-file ${file}`);
    assert.equal(later.code, 1);
    assert.match(later.err, /was ended by a cut-over at revision \d+/);
    assert.equal(resultIn(file)['failure'], 'Refused');
    assert.equal(await destination.get('a/too-late'), undefined);
    // Asked again, it says what was done.
    const again = await ctl(`--prefix a/ --cut-over -w json`);
    assert.equal(again.code, 0, again.err);
    assert.equal(JSON.parse(again.out).revision, result['revision']);
    assert.equal((await keptBeside('a/')).length, 1);
    assert.equal((await destination.leaseTimeToLive(ID)).grantedTTL, 600);
  });

  test('says what differs, and ends the mirror when nothing does', async () => {
    await source.put('d/1', 'x');
    await ctl('--prefix d/ --once');
    await destination.put('d/2', 'of somebody');
    const enough = new AbortController();
    const refused = await ctl('--prefix d/ --cut-over --still 100ms', enough.signal, () =>
      enough.abort(),
    );
    assert.equal(refused.code, 1);
    assert.match(refused.err, /not cut over.*the sides differ: d\/2: only the destination has it/);
    await destination.delete(keysUnder('d/2'));
    const { code, out, err } = await ctl('--prefix d/ --cut-over --still 100ms');
    assert.equal(code, 0, err);
    assert.match(out, /^Cut over: 1 keys, 0 leases are equal/);
  });

  test('other keys of the source may be written to', async () => {
    await source.put('p/1', 'x');
    await ctl('--prefix p/ --once');
    let isOver = false;
    const others = (async () => {
      for (let at = 0; !isOver; at++) await source.put('elsewhere', String(at));
    })();
    const { code, err } = await ctl('--prefix p/ --cut-over --still 500ms');
    isOver = true;
    await others;
    assert.equal(code, 0, err);
  });

  /** Does something once the cut-over has said that; what came of both. */
  async function cutAfter(words: string, said: RegExp, act: () => Promise<unknown>) {
    let acted: Promise<unknown> | undefined;
    const cut = ctl(`${words} --cut-over --still 100ms`, undefined, (out) => {
      if (said.test(out)) acted ??= act();
    });
    const { code, out, err } = await cut;
    assert.equal(code, 0, err);
    assert.match(out, said);
    await acted;
  }

  test('waits for a mirror that has not begun, and for one that is behind', async () => {
    await source.put('w/1', 'x');
    const once = (words: string) => () => ctl(`${words} --once`);
    await cutAfter('--prefix w/', /the mirror has not begun yet/, once('--prefix w/'));
    const other = '--prefix w/ --dest-prefix v/';
    await once(other)();
    await source.put('w/2', 'x');
    await cutAfter(other, /the mirror has not copied revision \d+ yet/, once(other));
    assert.equal((await destination.range(keysUnder('v/'))).count, 2);
  });

  test('what the destination has already is a refusal, in the result as well', async () => {
    await destination.put('r/there', 'x');
    const file = join(directory, 'refused');
    const { code } = await ctl(`--prefix r/ --result-file ${file}`);
    assert.equal(code, 1);
    assert.match(String(resultIn(file)['message']), /the destination has 1 keys there already/);
    assert.equal(resultIn(file)['failure'], 'Refused');
  });

  test('a source that is away is no refusal, and the result says which side it is', async () => {
    const file = join(directory, 'away');
    const env = { MAINSTAYCTL_ENDPOINTS: `http://127.0.0.1:${await freePort()}` };
    const words = [...destination.endpoints, '--command-timeout=500ms', `--result-file=${file}`];
    const { code } = await runCommand(['mirror', ...words], { env });
    assert.equal(code, 1);
    assert.equal(resultIn(file)['failure'], 'ClusterUnreachable');
    assert.match(String(resultIn(file)['message']), /^source: /);
  });
});
