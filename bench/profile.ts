interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }>;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Names below this share are put together. */
const shareMin = 0.005;

/** How much of the time of a V8 CPU profile went where, largest first. Idle time is left out. */
export function sharesOf(json: string): Array<[name: string, share: number]> {
  const profile = JSON.parse(json) as CpuProfile;
  const nameOf = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const spent = new Map<string, number>();
  let total = 0;
  for (const [at, sample] of profile.samples.entries()) {
    const name = nameOf.get(sample) ?? 'other';
    const deltaUs = profile.timeDeltas[at] ?? 0;
    if (name === 'idle') continue;
    total += deltaUs;
    spent.set(name, (spent.get(name) ?? 0) + deltaUs);
  }
  const shares = new Map<string, number>();
  for (const [name, us] of spent) {
    const shown = us / total < shareMin ? 'other' : name;
    shares.set(shown, (shares.get(shown) ?? 0) + us / total);
  }
  return [...shares].sort((a, b) => b[1] - a[1]);
}

function placeOf({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): string {
  if (functionName === '(idle)') return 'idle';
  if (functionName === '(garbage collector)') return 'garbage collection';
  const folder = /\/dist\/server\/([a-z]+)/.exec(url)?.[1];
  if (folder === 'proto') return 'codec (proto)';
  if (folder !== undefined) return folder;
  if (url.startsWith('node:')) return 'node (streams, timers, buffers)';
  if (url.includes('-level/')) return 'backend (LevelDB binding)';
  return functionName.startsWith('(') ? 'native code' : 'other';
}
