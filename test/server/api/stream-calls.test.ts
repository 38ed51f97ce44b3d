import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamEnd } from '../../../server/api/stream-calls.ts';

test('the end of a call is told once, to those who still want to know', () => {
  const end = new StreamEnd();
  const told: string[] = [];
  const forget = end.onClose(() => told.push('taken back'));
  end.onClose(() => told.push('kept'));
  forget();
  end.close();
  end.close();
  end.onClose(() => told.push('late'));
  assert.deepEqual(told, ['kept', 'late']);
});
