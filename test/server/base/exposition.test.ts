import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { counter, exposition, gauge, histogram, info } from '../../../server/base/exposition.ts';
import { exponentialBounds, Histogram } from '../../../server/base/histogram.ts';

suite('the text format', () => {
  test('families by name, samples as they came, labels escaped', () => {
    const text = exposition([
      gauge('b', 'Second.', true),
      counter('a_total', 'First.', [
        { labels: { path: 'a"b\\c\nd', n: '1' }, value: 2.5 },
        { labels: {}, value: 1e21 },
      ]),
      info('c', 'What.', { version: '1' }),
      counter('none_total', 'Without samples.', []),
    ]);
    assert.equal(
      text,
      [
        '# HELP a_total First.',
        '# TYPE a_total counter',
        'a_total{path="a\\"b\\\\c\\nd",n="1"} 2.5',
        'a_total 1e+21',
        '# HELP b Second.',
        '# TYPE b gauge',
        'b 1',
        '# HELP c What.',
        '# TYPE c gauge',
        'c{version="1"} 1',
        '',
      ].join('\n'),
    );
  });

  test('a histogram counts each value in the bucket of its bound and all above', () => {
    const values = new Histogram(exponentialBounds(1, 2, 3));
    for (const value of [0.5, 1, 1.5, 4, 100]) values.observe(value);
    assert.equal(
      exposition([histogram('h', 'Sizes.', [{ labels: { To: 'x' }, value: values }])]),
      [
        '# HELP h Sizes.',
        '# TYPE h histogram',
        'h_bucket{To="x",le="1"} 2',
        'h_bucket{To="x",le="2"} 3',
        'h_bucket{To="x",le="4"} 4',
        'h_bucket{To="x",le="+Inf"} 5',
        'h_sum{To="x"} 107',
        'h_count{To="x"} 5',
        '',
      ].join('\n'),
    );
  });
});
