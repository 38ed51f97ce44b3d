import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoreCluster, StoreClusterSpec } from '../../../operator/api/types.ts';
import { forecast } from '../../../operator/cli/forecast.ts';
import { observeEdited } from '../../../operator/cli/plan-edit.ts';
import { clusterPath } from '../sim/children.ts';
import { Pass } from '../sim/operator.ts';
import { World } from '../sim/world.ts';

// What is foreseen is what then happens: the operator, in the world of its other tests, takes the steps that the
// forecast told, in that order.

const edits: readonly [what: string, from: number, spec: Partial<StoreClusterSpec>][] = [
  ['one to three', 1, { replicas: 3 }],
  ['three to five', 3, { replicas: 5 }],
  ['three to one', 3, { replicas: 1 }],
  ['another option', 3, { options: { logLevel: 'Debug' } }],
  [
    'another option, with a further member',
    3,
    { options: { logLevel: 'Debug' }, update: { surge: true } },
  ],
  ['larger volumes and fewer members', 3, { storage: { size: '2Gi' }, replicas: 2 }],
  ['a network policy', 1, { networkPolicy: {} }],
  ['paused', 3, { replicas: 5, paused: true }],
];

for (const [what, from, spec] of edits) {
  test(what, async () => {
    const world = new World();
    world.createCluster({ replicas: from });
    await settle(world);
    const present = world.cluster ?? assert.fail();
    const edited: StoreCluster = { ...present, spec: { ...present.spec, ...spec } };
    const at = { namespace: 'default', nowMs: Date.parse('2026-01-01T01:00:00Z') };
    const foreseen = forecast(await observeEdited(world.kube, edited, at));
    world.kube.set(clusterPath, () => ({ spec: edited.spec }));
    const happened = await settle(world);
    assert.deepEqual(
      foreseen.steps.map(({ message }) => nameless(message)),
      happened,
    );
    const { decision } = world.cluster?.status?.plan ?? assert.fail();
    assert.equal(foreseen.end.kind, decision === 'Idle' ? 'done' : 'waits');
  });
}

/** Until nothing more happens. What was done, by its messages. */
async function settle(world: World): Promise<readonly string[]> {
  const done: string[] = [];
  for (let quiet = 0, turns = 0; quiet < 12; turns += 1) {
    assert.ok(turns < 1_000, JSON.stringify(world.cluster?.status?.plan));
    const { writes } = world;
    await new Pass(world).done;
    world.turn();
    const { decision, message = '' } = world.cluster?.status?.plan ?? {};
    if (decision === 'Act' && done.at(-1) !== nameless(message)) done.push(nameless(message));
    quiet = world.writes === writes ? quiet + 1 : 0;
  }
  return done;
}

/** Ids are the store's to choose. */
function nameless(message: string): string {
  return message.replace(/member [0-9a-f]+\./, 'member ID.');
}
