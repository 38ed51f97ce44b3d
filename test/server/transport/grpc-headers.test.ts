import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Status } from '../../../server/api/errors.ts';
import { timeoutMs, trailers, trailersOnly } from '../../../server/transport/grpc-headers.ts';
import type { ResponseFields } from '../../../server/transport/http2/hpack-encoder.ts';

function shown({ fields }: ResponseFields): Array<[string, string]> {
  return fields.map(({ name, value }) => [name, value]);
}

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
    assert.deepEqual(shown(trailers({ code: 0, message: '' })), [['grpc-status', '0']]);
    const status: Status = { code: 5, message: 'a %\u00fc\n~' };
    const fields = [
      ['grpc-status', '5'],
      ['grpc-message', 'a %25%C3%BC%0A~'],
    ];
    assert.deepEqual(shown(trailers(status)), fields);
    assert.deepEqual(shown(trailersOnly(status, 415)), [
      [':status', '415'],
      ['content-type', 'application/grpc'],
      ...fields,
    ]);
  });
  test('when to ask again', () => {
    const status: Status = { code: 8, message: 'later', retryAfterMs: 12 };
    assert.deepEqual(shown(trailers(status)), [
      ['grpc-status', '8'],
      ['grpc-message', 'later'],
      ['grpc-retry-pushback-ms', '12'],
    ]);
  });
});
