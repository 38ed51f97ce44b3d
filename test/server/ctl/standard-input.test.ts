import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { secretPrompt } from '../../../server/ctl/standard-input.ts';

class Terminal extends PassThrough {
  isRaw = false;

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
  }
}

function prompts() {
  const stdin = new Terminal();
  const shown: string[] = [];
  const stderr = { write: (text: string) => shown.push(text) };
  return { stdin, shown, ask: secretPrompt({ stdin, stderr }) };
}

test('a secret ends at Enter, and is not shown', async () => {
  const { stdin, shown, ask } = prompts();
  const asked = ask('Password: ');
  assert.equal(stdin.isRaw, true);
  stdin.write('s\u00e4x\u{1f600}\u007f\u007f');
  stdin.write('cret\r');
  assert.equal(await asked, 's\u00e4cret');
  assert.equal(stdin.isRaw, false);
  assert.deepEqual(shown, ['Password: ', '\n']);
});

test('what was typed ahead answers the next question', async () => {
  const { stdin, ask } = prompts();
  stdin.write('one\rtwo\rth');
  assert.equal(await ask('First: '), 'one');
  assert.equal(await ask('Second: '), 'two');
  const third = ask('Third: ');
  stdin.write('ree\n');
  assert.equal(await third, 'three');
});

test('Ctrl-C at a question ends the command with one line', async () => {
  const { stdin, ask } = prompts();
  const asked = ask('Password: ');
  stdin.write('ab\u0003');
  await assert.rejects(asked, { name: 'CommandError', message: 'interrupted' });
  assert.equal(stdin.isRaw, false);
});
