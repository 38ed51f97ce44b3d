// [io] The nodes that members are on. Shared by all passes: many members are on few nodes.
import type { Node } from '../api/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { nodePath } from '../kube/paths.ts';

/** By name, those of `names` that there are; undefined where nodes may not be seen. */
export type NodeSource = (
  names: ReadonlySet<string>,
) => Promise<ReadonlyMap<string, Node> | undefined>;

/** Asked one by one: a list would bring thousands, with everything that runs on them. */
export async function readNodes(
  kube: KubeClient,
  names: ReadonlySet<string>,
): Promise<ReadonlyMap<string, Node> | undefined> {
  try {
    const nodes = await Promise.all([...names].map((name) => kube.get<Node>(nodePath(name))));
    return new Map(
      nodes.flatMap((node) => (node === undefined ? [] : [[node.metadata.name, node]])),
    );
  } catch (error) {
    if (error instanceof KubeError && error.code === 403) return undefined;
    throw error;
  }
}

/** What is decided by nodes takes minutes, or moves a leader: a few seconds more do no harm. */
const freshMs = 5_000;
/** Rights on nodes may be given later. */
const askAgainAfterMs = 600_000;

interface Seen {
  /** undefined: there was none. */
  readonly node: Node | undefined;
  readonly atMs: number;
}

export class NodeCache {
  readonly #kube: KubeClient;
  readonly #nowMs: () => number;
  readonly #seen = new Map<string, Seen>();
  #refusedAtMs: number | undefined;

  constructor(modules: { readonly kube: KubeClient; readonly nowMs: () => number }) {
    this.#kube = modules.kube;
    this.#nowMs = modules.nowMs;
  }

  readonly read: NodeSource = async (names) => {
    const atMs = this.#nowMs();
    const refusedMs = this.#refusedAtMs === undefined ? undefined : atMs - this.#refusedAtMs;
    if (refusedMs !== undefined && refusedMs < askAgainAfterMs) return undefined;
    for (const [name, seen] of this.#seen) {
      if (atMs - seen.atMs >= freshMs) this.#seen.delete(name);
    }
    const known = new Map([...names].flatMap((name) => this.#known(name) ?? []));
    const missing = new Set([...names].filter((name) => !known.has(name)));
    const found = await readNodes(this.#kube, missing);
    this.#refusedAtMs = found === undefined ? atMs : undefined;
    if (found === undefined) return undefined;
    for (const name of missing) {
      const seen = { node: slim(found.get(name)), atMs };
      this.#seen.set(name, seen);
      known.set(name, seen);
    }
    return new Map(
      [...known].flatMap(([name, { node }]) => (node === undefined ? [] : [[name, node]])),
    );
  };

  #known(name: string): [[string, Seen]] | undefined {
    const seen = this.#seen.get(name);
    return seen === undefined ? undefined : [[name, seen]];
  }
}

/** Without the images that it has, who manages its fields and the like: tens of kilobytes. */
function slim(node: Node | undefined): Node | undefined {
  if (node === undefined) return undefined;
  const { apiVersion, kind, status, metadata } = node;
  // What is empty may be left out.
  const { unschedulable }: Node['spec'] = (node as Partial<Node>).spec ?? {};
  return {
    apiVersion,
    kind,
    metadata: { name: metadata.name },
    spec: unschedulable === undefined ? {} : { unschedulable },
    ...(status?.conditions === undefined ? {} : { status: { conditions: status.conditions } }),
  };
}
