import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { goQuoted } from '../../../../server/client/ctl/etcd-json.ts';

// As etcdctl -w fields prints the same bytes.
const quoted: readonly (readonly [bytes: string, shown: string])[] = [
  ['plain "text" \\', String.raw`"plain \"text\" \\"`],
  ['\u0007\t\u0001\u007f', String.raw`"\a\t\x01\x7f"`],
  ['\u00c2\u0085', String.raw`"\u0085"`],
  ['\u00c2\u00a0x', String.raw`"\u00a0x"`],
  ['\u00e2\u0080\u0083', String.raw`"\u2003"`],
  ['\u00c3\u00a4\u00ff', String.raw`"ä\xff"`],
  ['\u00e2\u0082', String.raw`"\xe2\x82"`],
  ['\u00c3(\u0080', String.raw`"\xc3(\x80"`],
  ['\u00f0\u009f\u0098\u0080', '"😀"'],
];

for (const [bytes, shown] of quoted) {
  test(`${shown} is quoted as Go does`, () => {
    assert.equal(goQuoted(Buffer.from(bytes, 'latin1')), shown);
  });
}
