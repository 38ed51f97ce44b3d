import type { ObjectApi } from '../api.ts';
import {
  at,
  isObject,
  type JsonObject,
  type KubeObject,
  objectAt,
  objectsAt,
  stringAt,
} from '../objects.ts';

/** A container that cannot be started as it is described; the pod waits with this message. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** An image that is nowhere to be had; the pod waits and tries again, ever more seldom. */
export class ImageError extends Error {
  override name = 'ImageError';
}

/** Where a mount path of the container is on this machine. */
export interface Mount {
  readonly mountPath: string;
  readonly hostPath: string;
}

/** The environment that a container asks for: env and envFrom, references resolved, `$(NAME)` expanded. */
export function environmentOf(
  api: ObjectApi,
  pod: KubeObject,
  container: JsonObject,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const source of objectsAt(container, 'envFrom')) {
    const { plural, name, isOptional } = bulkSource(source);
    const data = dataOf(api, pod, plural, name, isOptional);
    for (const [key, value] of Object.entries(data))
      environment[stringAt(source, 'prefix') + key] = value;
  }
  for (const variable of objectsAt(container, 'env')) {
    const value = isObject(variable['valueFrom'])
      ? referredValue(api, pod, variable['valueFrom'])
      : expand(stringAt(variable, 'value'), environment);
    if (value !== undefined) environment[stringAt(variable, 'name')] = value;
  }
  return environment;
}

function bulkSource(source: JsonObject): {
  plural: 'secrets' | 'configmaps';
  name: string;
  isOptional: boolean;
} {
  const isSecret = isObject(source['secretRef']);
  const reference = objectAt(source, isSecret ? 'secretRef' : 'configMapRef');
  return {
    plural: isSecret ? 'secrets' : 'configmaps',
    name: stringAt(reference, 'name'),
    isOptional: reference['optional'] === true,
  };
}

function referredValue(api: ObjectApi, pod: KubeObject, source: JsonObject): string | undefined {
  const field = at(source, 'fieldRef', 'fieldPath');
  if (typeof field === 'string') return podField(pod, field);
  for (const [name, plural] of [
    ['secretKeyRef', 'secrets'],
    ['configMapKeyRef', 'configmaps'],
  ] as const) {
    const reference = source[name];
    if (!isObject(reference)) continue;
    const isOptional = reference['optional'] === true;
    const data = dataOf(api, pod, plural, stringAt(reference, 'name'), isOptional);
    const value = data[stringAt(reference, 'key')];
    if (value !== undefined || isOptional) return value;
    throw new ConfigError(
      `couldn't find key ${stringAt(reference, 'key')} in ${plural} ${stringAt(reference, 'name')}`,
    );
  }
  throw new ConfigError(`localkube does not know this valueFrom: ${JSON.stringify(source)}`);
}

/** Fields of the downward API. */
function podField(pod: KubeObject, field: string): string {
  const key = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(field);
  if (key !== null) return String(objectAt(pod, 'metadata', key[1] ?? '')[key[2] ?? ''] ?? '');
  const known = [
    'metadata.name',
    'metadata.namespace',
    'metadata.uid',
    'spec.nodeName',
    'spec.serviceAccountName',
    'status.podIP',
    'status.hostIP',
  ];
  if (!known.includes(field)) throw new ConfigError(`localkube does not know the field ${field}`);
  return stringAt(pod, ...field.split('.'));
}

/** The entries of a Secret (decoded) or ConfigMap as text. */
export function dataOf(
  api: ObjectApi,
  pod: KubeObject,
  plural: 'secrets' | 'configmaps',
  name: string,
  isOptional: boolean,
): Record<string, string> {
  const found = api.find(api.resources.builtin(plural), pod.metadata.namespace, name);
  if (found === undefined) {
    if (isOptional) return {};
    throw new ConfigError(`${plural.slice(0, -1)} "${name}" not found`);
  }
  const decode = (text: unknown) => Buffer.from(String(text), 'base64').toString('utf8');
  const entries = Object.entries(objectAt(found, 'data'));
  return Object.fromEntries(
    entries.map(([key, value]) => [key, plural === 'secrets' ? decode(value) : String(value)]),
  );
}

/** Kubernetes' `$(NAME)` expansion: unknown names stay, `$$` escapes. */
export function expand(text: string, environment: Readonly<Record<string, string>>): string {
  return text.replaceAll(
    /\$(\$|\(([A-Za-z_][\w.-]*)\))/g,
    (whole: string, escaped: string, name?: string) => {
      if (escaped === '$') return '$';
      return environment[name ?? ''] ?? whole;
    },
  );
}

/**
 * Replaces mount paths by the directories that stand for them. There is no mount namespace: a path that a program has built
 * in, rather than in its arguments or environment, is not redirected.
 */
export function redirectPaths(text: string, mounts: readonly Mount[]): string {
  const hostPaths = new Map(mounts.map(({ mountPath, hostPath }) => [mountPath, hostPath]));
  const paths = [...hostPaths.keys()].filter(Boolean).toSorted((a, b) => b.length - a.length);
  if (paths.length === 0) return text;
  const escaped = paths.map((path) => path.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  // All at once: the directory that stands for one may have another's path in its own.
  const anyPath = new RegExp(`(?<![\\w./-])(?:${escaped.join('|')})(?![\\w.-])`, 'g');
  return text.replaceAll(anyPath, (path) => hostPaths.get(path) ?? path);
}
