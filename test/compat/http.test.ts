import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { ask } from './probe.ts';
import { testedProgram } from './store-under-test.ts';

// The probes on the client port, compared with etcd's: status, content type and body.

const options = { ...needs('etcd'), timeout: 60_000 };

const paths = [
  '/health',
  '/health?serializable=true',
  '/health?exclude=NOSPACE',
  '/health?exclude=NOSPACE&exclude=CORRUPT',
  '/livez',
  '/livez?verbose',
  '/livez?exclude=serializable_read',
  '/livez?verbose&exclude=serializable_read',
  '/livez/serializable_read',
  '/livez/linearizable_read',
  '/readyz',
  '/readyz?verbose',
  '/readyz?verbose&exclude=linearizable_read',
  '/readyz/linearizable_read',
  '/readyz/data_corruption',
  '/readyz/serializable_read',
  '/livez/none',
  '/nowhere',
];

test('the probes answer as those of etcd', options, (context) =>
  withCluster({ program: 'etcd' }, (etcd) =>
    withCluster({ program: testedProgram() }, async (tested) => {
      for (const path of paths) {
        await context.test(`GET ${path}`, async () => {
          assert.deepEqual(await ask(tested.member(0), path), await ask(etcd.member(0), path));
        });
      }
      for (const path of ['/health', '/livez', '/readyz', '/version']) {
        await context.test(`POST ${path}`, async () => {
          const [ours, theirs] = [
            await ask(tested.member(0), path, 'POST'),
            await ask(etcd.member(0), path, 'POST'),
          ];
          assert.deepEqual(ours, theirs);
        });
      }
    }),
  ),
);

test('/version has what clients of etcd read', options, () =>
  withCluster({ program: 'etcd' }, (etcd) =>
    withCluster({ program: testedProgram() }, async (tested) => {
      const [ours, theirs] = [
        await ask(tested.member(0), '/version'),
        await ask(etcd.member(0), '/version'),
      ];
      assert.equal(ours.status, theirs.status);
      assert.equal(ours.contentType, theirs.contentType);
      for (const name of Object.keys(JSON.parse(theirs.body))) {
        assert.match(JSON.parse(ours.body)[name], /^\d+\.\d+\.\d+$/, name);
      }
    }),
  ),
);
