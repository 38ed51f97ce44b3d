import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MemberProcess, withCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
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

interface Answer {
  readonly status: number;
  readonly contentType: string | null;
  readonly allow: string | null;
  readonly body: string;
}

/** etcd names the checks in no order; what it says of a failed read has a prefix from 3.6 on. */
function comparable(body: string): string {
  return body.replaceAll('range error: ', '').split('\n').toSorted().join('\n');
}

async function ask(member: MemberProcess, path: string, method = 'GET'): Promise<Answer> {
  const response = await fetch(`${member.clientUrl}${path}`, { method });
  return {
    status: response.status,
    contentType: response.headers.get('content-type'),
    allow: response.headers.get('allow'),
    body: comparable(await response.text()),
  };
}

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

test('a member without a quorum is alive and not ready', options, (context) =>
  withCluster({ program: 'etcd', size: 3 }, (etcd) =>
    withCluster({ program: testedProgram(), size: 3 }, async (tested) => {
      for (const cluster of [etcd, tested]) {
        await Promise.all([cluster.member(0).stop(), cluster.member(1).stop()]);
      }
      const paths = ['/livez?verbose', '/health?serializable=true', '/readyz?verbose', '/health'];
      await Promise.all(
        paths.map((path) =>
          context.test(`GET ${path}`, async () => {
            const [ours, theirs] = await Promise.all(
              [tested, etcd].map((cluster) => ask(cluster.member(2), path)),
            );
            assert.deepEqual(ours, theirs);
          }),
        ),
      );
    }),
  ),
);
