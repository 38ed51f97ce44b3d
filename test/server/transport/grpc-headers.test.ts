import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { timeoutMs, trailers } from '../../../server/transport/grpc-headers.ts';

suite('gRPC headers', () => {
  test('timeouts', () => {
    const cases: readonly (readonly [string | undefined, number])[] = [
      [undefined, Infinity],
      ['5S', 5000],
      ['100m', 100],
      ['2M', 120_000],
      ['1H', 3_600_000],
      ['500u', 0.5],
      ['99999999H', 99_999_999 * 3_600_000],
      ['0n', 0],
      ['', NaN],
      ['5', NaN],
      ['S', NaN],
      ['-1S', NaN],
      ['123456789m', NaN],
      ['5s', NaN],
    ];
    for (const [header, ms] of cases) assert.equal(timeoutMs(header), ms, header);
  });

  test('messages are percent-encoded UTF-8', () => {
    assert.deepEqual(trailers({ code: 0, message: '' }), { 'grpc-status': '0' });
    assert.deepEqual(trailers({ code: 5, message: 'a %ü\n~' }), {
      'grpc-status': '5',
      'grpc-message': 'a %25%C3%BC%0A~',
    });
  });
});
