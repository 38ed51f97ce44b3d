import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { PasswordThread } from '../../../server/auth/passwords.ts';
import type { Clock } from '../../../server/base/clock.ts';
import { EtcdError } from '../../../server/base/errors.ts';

const clock: Pick<Clock, 'after'> = {
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

function thread(options: Partial<ConstructorParameters<typeof PasswordThread>[1]> = {}) {
  return new PasswordThread({ clock }, { cost: 4, waitingMax: 10, taskMsMax: 30_000, ...options });
}

suite('passwords', () => {
  const passwords = thread();
  after(() => passwords.close());

  test('a hash is of the form that etcd writes, with a salt of its own', async () => {
    const [one, two] = await Promise.all([passwords.hash('secret'), passwords.hash('secret')]);
    assert.match(one, /^\$2a\$04\$[./A-Za-z0-9]{53}$/);
    assert.notEqual(one, two);
    assert.equal(await passwords.verify('secret', one), true);
    assert.equal(await passwords.verify('Secret', one), false);
    assert.equal(await passwords.verify('', one), false);
  });

  test('what Go’s bcrypt has hashed is verified', async () => {
    // golang.org/x/crypto/bcrypt's own test vectors.
    const hash = '$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga';
    assert.equal(await passwords.verify('allmine', hash), true);
    assert.equal(await passwords.verify('allyours', hash), false);
  });

  test('what is no hash is no password, however it looks', async () => {
    for (const hash of ['', 'plain', '$2a$04$short', `$2a$99$${'a'.repeat(53)}`]) {
      assert.equal(await passwords.verify('plain', hash), false, hash);
      assert.equal(await passwords.verify('', hash), false, hash);
    }
  });

  test('a password that is not known costs as much as a wrong one', async () => {
    const slow = thread({ cost: 8 });
    const hash = await slow.hash('secret');
    const timed = async (known: string): Promise<number> => {
      const startMs = performance.now();
      for (let i = 0; i < 5; i++) await slow.verify('wrong', known);
      return performance.now() - startMs;
    };
    const wrong = await timed(hash);
    const unknown = await timed('');
    slow.close();
    assert.ok(unknown > wrong / 4 && unknown < wrong * 4, `${unknown} ms, ${wrong} ms`);
  });
});

test('more than may wait are refused, and the main thread goes on meanwhile', async () => {
  const passwords = thread({ cost: 10, waitingMax: 2 });
  let turns = 0;
  const turning = setInterval(() => (turns += 1), 1);
  const outcomes = await Promise.allSettled([1, 2, 3, 4, 5].map(() => passwords.hash('p')));
  clearInterval(turning);
  passwords.close();
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.equal(refused.length, 2);
  for (const { reason } of refused) {
    assert.equal((reason as EtcdError).error, 'TooManyRequests');
  }
  assert.ok(turns > 10, `${turns} turns of the event loop`);
});

test('what takes too long is given up, and the next gets a new thread', async () => {
  const passwords = thread({ cost: 4, taskMsMax: 1500 });
  const costly = `$2a$31$${'a'.repeat(53)}`;
  const [first, second] = await Promise.allSettled([
    passwords.verify('p', costly),
    passwords.hash('p'),
  ]);
  passwords.close();
  assert.ok(first?.status === 'rejected' && first.reason instanceof EtcdError);
  assert.equal(first.reason.error, 'Timeout');
  assert.equal(second?.status, 'fulfilled');
});

test('closing ends what waits', async () => {
  const passwords = thread({ cost: 12 });
  const waiting = Promise.allSettled([passwords.hash('p'), passwords.hash('p')]);
  passwords.close();
  for (const outcome of await waiting) assert.equal(outcome.status, 'rejected');
});
