import assert from 'node:assert/strict';
import type { LookupAddress, LookupOptions } from 'node:dns';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { hostLookup, parseHosts } from '../../../server/base/hosts.ts';

const directory = mkdtempSync(join(tmpdir(), 'mainstay-hosts-'));
after(() => {
  rmSync(directory, { recursive: true });
});

type Found = string | LookupAddress[];

function find(path: string | undefined, name: string, options: LookupOptions): Promise<Found> {
  return new Promise((resolve, reject) => {
    hostLookup(path)(name, options, (error, address) => {
      if (error === null) resolve(address);
      else reject(error);
    });
  });
}

suite('hosts file', () => {
  test('lines of an address and names; comments and what is no address are skipped', () => {
    const hosts = parseHosts(
      '127.0.0.2 demo-0 Demo-0.Svc # one\n\n# 1.2.3.4 no\nnonsense x\n::1 demo-0',
    );
    assert.deepEqual(
      [...hosts],
      [
        [
          'demo-0',
          [
            { address: '127.0.0.2', family: 4 },
            { address: '::1', family: 6 },
          ],
        ],
        ['demo-0.svc', [{ address: '127.0.0.2', family: 4 }]],
      ],
    );
  });

  test('answers as dns.lookup does: one address or all, of the asked family', async () => {
    const path = join(directory, 'families');
    writeFileSync(path, '::1 demo\n127.0.0.2 demo\n');
    assert.equal(await find(path, 'DEMO', {}), '::1');
    assert.equal(await find(path, 'demo', { family: 4 }), '127.0.0.2');
    assert.equal(await find(path, 'demo', { family: 'IPv4' }), '127.0.0.2');
    assert.deepEqual(await find(path, 'demo', { all: true, family: 6 }), [
      { address: '::1', family: 6 },
    ]);
  });

  test('is read again when it has changed, also when it appears late', async () => {
    const path = join(directory, 'late');
    const lookup = hostLookup(path);
    const one = (): Promise<Found> =>
      new Promise((resolve, reject) => {
        lookup('localhost', { family: 4 }, (error, address) => {
          if (error === null) resolve(address);
          else reject(error);
        });
      });
    assert.equal(await one(), '127.0.0.1');
    writeFileSync(path, '127.0.0.7 localhost\n');
    assert.equal(await one(), '127.0.0.7');
    writeFileSync(path, '127.0.0.77 localhost\n');
    assert.equal(await one(), '127.0.0.77');
  });

  test('without a file the system resolver answers', async () => {
    assert.equal(await find(undefined, '127.0.0.1', {}), '127.0.0.1');
  });
});
