import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultRequest } from '../../e2e/localkube/faults.ts';
import type { Lease } from '../../operator/api/objects.ts';
import type { StoreCluster } from '../../operator/api/types.ts';
import { objectPath } from '../../operator/kube/paths.ts';
import {
  type BareKube,
  createCluster,
  journalOf,
  withBareKube,
} from '../operator/support/bare-kube.ts';
import { OperatorProcess, until } from '../operator/support/operator-process.ts';

// The operator's process and its leader lease: one that was stopped and has lost it writes nothing any more; one that
// is told to end ends its pass and gives the lease back.

const leasePath = objectPath('Lease', { namespace: 'default', name: 'mainstay-operator' });
const clusterPath = objectPath('StoreCluster', { namespace: 'default', name: 'demo' });
const leaseSeconds = 6;
/** Two thirds of the lease: then it must not write any more; and a bit. */
const pausedMs = (leaseSeconds * 1000 * 2) / 3 + 500;

test('an operator that was paused until it lost its lease writes nothing afterwards', () =>
  withBareKube(async (setting) => {
    const { kube, localKube } = setting;
    const journal = journalOf(localKube);
    const operator = await startLeader(setting);
    try {
      await createCluster(setting, 'demo');
      await until('the first pod is made', () => journal.some(isPodCreation));
      await stopInTheMiddleOfAPass(setting, operator, journal);
      await sleep(pausedMs);
      await takeLease(setting);
      // Much to do: another cluster, and a spec that wants something else.
      await createCluster(setting, 'second');
      await kube.patch(clusterPath, {
        spec: { networkPolicy: {} },
      });
      const lengthBefore = journal.length;
      operator.kill('SIGCONT');
      assert.equal(await operator.ended(), 1, operator.log);
      const after = journal.slice(lengthBefore);
      assert.ok(after.length > 0, 'it has at least looked at the lease');
      assert.deepEqual(after.filter((request) => request.method !== 'GET').map(show), []);
      assert.ok(operator.lines.some(({ msg }) => msg === 'the leader lease is lost'));
      const lease = await kube.get<Lease>(leasePath);
      assert.equal(lease?.spec.holderIdentity, 'another');
    } finally {
      await operator.stop();
    }
  }));

test('SIGTERM: the pass that has begun is ended, its status written, the lease given back', () =>
  withBareKube(async (setting) => {
    const { kube, localKube } = setting;
    let isBeingMade = false;
    localKube.faults.add({
      matches: ({ method, path }) => {
        const isVolume = method === 'POST' && path.endsWith('/persistentvolumeclaims');
        isBeingMade ||= isVolume;
        return isVolume;
      },
      fault: { kind: 'delay', ms: 2_000 },
    });
    const operator = await startLeader(setting);
    try {
      await createCluster(setting, 'demo');
      await until('the volume is being made', () => isBeingMade);
      operator.kill('SIGTERM');
      assert.equal(await operator.ended(), 0, operator.log);
      const messages = operator.lines.map(({ msg, action }) => [msg, action].join(' ').trim());
      assert.ok(
        messages.indexOf('stopping') < messages.indexOf('acted createVolume'),
        operator.log,
      );
      const cluster = await kube.get<StoreCluster>(clusterPath);
      assert.equal(cluster?.status?.plan?.reason, 'VolumeCreated');
      const lease = await kube.get<Lease>(leasePath);
      assert.equal(lease?.spec.holderIdentity, '');
    } finally {
      await operator.stop();
    }
  }));

async function startLeader({ localKube }: BareKube): Promise<OperatorProcess> {
  const operator = await OperatorProcess.start(
    localKube.kubeconfigPath,
    '--leader-elect',
    `--leader-elect-seconds=${leaseSeconds}`,
  );
  await until('it leads', async () => {
    const { text } = await operator.get('/metrics');
    return text.includes('mainstay_operator_leader 1');
  });
  return operator;
}

const isPodCreation = ({ method, path }: FaultRequest) =>
  method === 'POST' && path.endsWith('/pods');

/** It has asked for what it will decide by, and gets the answer when it goes on. */
async function stopInTheMiddleOfAPass(
  { localKube, kube }: BareKube,
  operator: OperatorProcess,
  journal: readonly FaultRequest[],
): Promise<void> {
  const seen = journal.length;
  const take = localKube.faults.add({
    matches: ({ method, path }) => method === 'GET' && path.includes('/poddisruptionbudgets/'),
    fault: { kind: 'delay', ms: 1_000 },
  });
  // The pod is gone: the next action is to make it again.
  const path = objectPath('Pod', { namespace: 'default', name: 'demo-1' });
  const pod = await kube.get<{ metadata: { uid: string; resourceVersion: string } }>(path);
  assert.ok(pod !== undefined);
  await kube.remove(path, pod.metadata);
  await until('a pass is under way', () =>
    journal.slice(seen).some(({ path: asked }) => asked.includes('/poddisruptionbudgets/')),
  );
  operator.kill('SIGSTOP');
  take();
}

async function takeLease({ kube }: BareKube): Promise<void> {
  const lease = await kube.get<Lease>(leasePath);
  assert.ok(lease !== undefined);
  const spec = { ...lease.spec, holderIdentity: 'another' };
  await kube.replace(leasePath, { ...lease, spec });
}

function show({ method, path }: FaultRequest): string {
  return `${method} ${path}`;
}
