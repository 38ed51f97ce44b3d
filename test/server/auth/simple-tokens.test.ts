import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimpleTokens } from '../../../server/auth/simple-tokens.ts';

function made(tokensMax = 10) {
  let state = 1;
  const clock = { now: 0, nowMs: () => clock.now };
  const random = { uint32: () => (state = (state * 1_103_515_245 + 12_345) >>> 0) };
  return { clock, tokens: new SimpleTokens({ clock, random }, { ttlMs: 1000, tokensMax }) };
}

test('a prefix is sixteen letters', () => {
  const { tokens } = made();
  assert.match(tokens.newPrefix(), /^[a-zA-Z]{16}$/);
  assert.notEqual(tokens.newPrefix(), tokens.newPrefix());
});

test('a token says which entry made it', () => {
  const { tokens } = made();
  assert.equal(tokens.madeAt('abc.12'), 12n);
  assert.equal(tokens.madeAt('abc.18446744073709551615'), 0xffff_ffff_ffff_ffffn);
  for (const none of [
    '',
    'abc',
    'abc.',
    'abc.x',
    'abc.1.2',
    'abc.-1',
    'abc.18446744073709551616',
  ]) {
    assert.equal(tokens.madeAt(none), undefined, none);
  }
});

test('a token is good as long as it is used, and not longer', () => {
  const { clock, tokens } = made();
  tokens.authenticated('u', 'a.1');
  for (clock.now = 900; clock.now < 5000; clock.now += 900) {
    assert.deepEqual(tokens.callerOf('a.1', 7), { username: 'u', authRevision: 7 });
  }
  clock.now += 1000;
  assert.equal(tokens.callerOf('a.1', 7), undefined);
  assert.equal(tokens.callerOf('b.1', 7), undefined);
});

test('tokens end with their user’s password, and all of them with authentication', () => {
  const { tokens } = made();
  tokens.authenticated('u', 'a.1');
  tokens.authenticated('v', 'b.2');
  tokens.userChanged('u');
  assert.equal(tokens.callerOf('a.1', 1), undefined);
  assert.equal(tokens.callerOf('b.2', 1)?.username, 'v');
  tokens.reset();
  assert.equal(tokens.callerOf('b.2', 1), undefined);
});

test('there are never more than the maximum, nor many that have ended', () => {
  const { clock, tokens } = made(3);
  for (const i of [1, 2, 3]) tokens.authenticated('u', `a.${i}`);
  tokens.callerOf('a.1', 1);
  tokens.authenticated('u', 'a.4');
  assert.equal(tokens.size, 3);
  assert.equal(tokens.callerOf('a.2', 1), undefined, 'the one not used for longest went');
  clock.now = 2000;
  tokens.authenticated('u', 'a.5');
  assert.equal(tokens.size, 1);
});
