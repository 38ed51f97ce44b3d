import { load } from 'js-yaml';
import type { StoreCluster, StoreClusterSpec } from '../api/types.ts';
import type { CliFlags } from './flags.ts';

/** An edit that makes no sense by itself; what the API server thinks of it comes later. */
export class EditError extends Error {
  override name = 'EditError';
}

type Edit = Pick<CliFlags, 'name' | 'replicas' | 'set'>;

/** The StoreCluster with the edit. `text`: the file's, whose spec takes the place of the present one. */
export function edited(
  present: StoreCluster | undefined,
  { name, replicas, set }: Edit,
  { text, namespace }: { readonly text: string | undefined; readonly namespace: string },
): StoreCluster {
  const fromFile = text === undefined ? undefined : clusterIn(text, { name, namespace });
  const base = fromFile?.spec ?? present?.spec;
  if (base === undefined) throw new EditError(`there is no StoreCluster ${namespace}/${name}`);
  const spec = structuredClone(base) as Record<string, unknown>;
  if (replicas !== undefined) spec['replicas'] = replicas;
  for (const assignment of set) assign(spec, assignment);
  const { labels, annotations } = fromFile?.metadata ?? {};
  const metadata = present?.metadata ?? {
    name,
    namespace,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  const kind = { apiVersion: 'mainstay.dev/v1alpha1', kind: 'StoreCluster' as const };
  return { ...kind, metadata, spec: spec as unknown as StoreClusterSpec };
}

function clusterIn(
  text: string,
  wanted: { readonly name: string; readonly namespace: string },
): StoreCluster {
  const document: unknown = load(text);
  const object = document as Partial<StoreCluster> | null | undefined;
  if (object?.kind !== 'StoreCluster' || object.spec === undefined) {
    throw new EditError('the file holds no StoreCluster with a spec (one document, YAML or JSON)');
  }
  const { name, namespace } = object.metadata ?? {};
  if (name !== undefined && name !== wanted.name) {
    throw new EditError(`the file is about ${name}, not about ${wanted.name}`);
  }
  if (namespace !== undefined && namespace !== wanted.namespace) {
    throw new EditError(
      `the file is about the namespace ${namespace}, not ${wanted.namespace}: give -n ${namespace}`,
    );
  }
  return object as StoreCluster;
}

/** `a.b=c`, below the spec; a value is read as YAML: 5, true, "text", [a, b]. */
function assign(spec: Record<string, unknown>, assignment: string): void {
  const cut = assignment.indexOf('=');
  if (cut < 1) throw new EditError(`--set wants PATH=VALUE, not "${assignment}"`);
  const path = assignment.slice(0, cut).replace(/^\.?(spec\.)?/, '');
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  if (last === '' || keys.includes('')) throw new EditError(`"${path}" is no path of a field`);
  let at = spec;
  for (const key of keys) {
    const next = at[key] ?? {};
    if (typeof next !== 'object' || Array.isArray(next)) {
      throw new EditError(`spec.${path} cannot be set: ${key} is no object`);
    }
    at[key] = next;
    at = next as Record<string, unknown>;
  }
  const value = valueOf(assignment.slice(cut + 1));
  if (value === null) delete at[last];
  else at[last] = value;
}

function valueOf(text: string): unknown {
  try {
    return load(text) ?? null;
  } catch (error) {
    throw new EditError(`--set: ${text} is no value in YAML: ${String(error)}`);
  }
}
