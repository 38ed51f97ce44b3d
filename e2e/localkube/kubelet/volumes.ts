import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { ObjectApi } from '../api.ts';
import { claimsOf } from '../controllers/namespaces.ts';
import {
  at,
  isObject,
  type JsonObject,
  type KubeObject,
  objectsAt,
  setAt,
  stringAt,
} from '../objects.ts';
import { ConfigError, dataOf, type Mount } from './environment.ts';

/** Directories that stand for volumes: claims by their UID, the rest below their pod. */
export class Volumes {
  readonly #api: ObjectApi;
  readonly #claims: string;
  readonly #pods: string;

  constructor(api: ObjectApi, dataDirectory: string) {
    this.#api = api;
    this.#claims = join(dataDirectory, 'volumes');
    this.#pods = join(dataDirectory, 'pods');
    mkdirSync(this.#claims, { recursive: true });
    mkdirSync(this.#pods, { recursive: true });
  }

  /** Binds claims to new directories, grows them, and removes the directories of claims that are gone. */
  reconcile(): void {
    const resource = this.#api.resources.builtin('persistentvolumeclaims');
    const claims = this.#api.list(resource);
    for (const claim of claims) this.#bind(claim);
    const uids = new Set(claims.map(({ metadata }) => metadata.uid));
    for (const directory of readdirSync(this.#claims)) {
      if (!uids.has(directory))
        rmSync(join(this.#claims, directory), { recursive: true, force: true });
    }
  }

  #bind(claim: KubeObject): void {
    const { namespace, name, uid } = claim.metadata;
    const storage = at(claim, 'spec', 'resources', 'requests', 'storage');
    const isDone =
      stringAt(claim, 'status', 'phase') === 'Bound' &&
      at(claim, 'status', 'capacity', 'storage') === storage;
    if (isDone) return;
    mkdirSync(this.claimDirectory(claim), { recursive: true });
    this.#api.amend(
      this.#api.resources.builtin('persistentvolumeclaims'),
      namespace,
      name,
      (next) => {
        if (stringAt(next, 'spec', 'volumeName') === '')
          setAt(next, ['spec', 'volumeName'], `pvc-${uid}`);
        next['status'] = {
          phase: 'Bound',
          accessModes: at(next, 'spec', 'accessModes'),
          capacity: { storage },
        };
      },
    );
  }

  claimDirectory({ metadata }: KubeObject): string {
    return join(this.#claims, metadata.uid);
  }

  podDirectory({ metadata }: KubeObject): string {
    return join(this.#pods, metadata.uid);
  }

  /** The directories that a container's mounts stand for; made on the way. Throws ConfigError while one is not there yet. */
  mountsOf(pod: KubeObject, container: JsonObject): Mount[] {
    return objectsAt(container, 'volumeMounts').map((mount) => {
      const name = stringAt(mount, 'name');
      const volume = objectsAt(pod, 'spec', 'volumes').find((one) => one['name'] === name) ?? {};
      const directory = join(this.#volumeDirectory(pod, volume), stringAt(mount, 'subPath'));
      mkdirSync(directory, { recursive: true });
      return { mountPath: stringAt(mount, 'mountPath').replace(/\/$/, ''), hostPath: directory };
    });
  }

  #volumeDirectory(pod: KubeObject, volume: JsonObject): string {
    const claimName = at(volume, 'persistentVolumeClaim', 'claimName');
    if (typeof claimName === 'string') return this.#claimOf(pod, claimName);
    const directory = join(this.podDirectory(pod), 'volumes', stringAt(volume, 'name'));
    mkdirSync(directory, { recursive: true });
    if (isObject(volume['emptyDir'])) return directory;
    for (const [kind, plural, field] of [
      ['secret', 'secrets', 'secretName'],
      ['configMap', 'configmaps', 'name'],
    ] as const) {
      const source = volume[kind];
      if (!isObject(source)) continue;
      const data = dataOf(
        this.#api,
        pod,
        plural,
        stringAt(source, field),
        source['optional'] === true,
      );
      writeAtOnce(directory, selectedItems(source, data));
      return directory;
    }
    throw new ConfigError(`localkube does not know this volume: ${JSON.stringify(volume)}`);
  }

  #claimOf(pod: KubeObject, claimName: string): string {
    const resource = this.#api.resources.builtin('persistentvolumeclaims');
    const claim = this.#api.find(resource, pod.metadata.namespace, claimName);
    if (claim === undefined)
      throw new ConfigError(`persistentvolumeclaim "${claimName}" not found`);
    this.#bind(claim);
    return this.claimDirectory(claim);
  }

  /** Writes Secrets and ConfigMaps that a running pod mounts anew, as the real kubelet does after a while. */
  refresh(pod: KubeObject): void {
    for (const container of objectsAt(pod, 'spec', 'containers')) {
      try {
        this.mountsOf(pod, container);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
      }
    }
  }

  removePod(pod: KubeObject): void {
    rmSync(this.podDirectory(pod), { recursive: true, force: true });
  }

  /** Removes what pods left behind that are not there any more. */
  removeStrangers(): void {
    const pods = this.#api.list(this.#api.resources.builtin('pods'));
    const uids = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const directory of readdirSync(this.#pods)) {
      if (!uids.has(directory))
        rmSync(join(this.#pods, directory), { recursive: true, force: true });
    }
  }
}

/**
 * All files change in one moment, as the real kubelet does it: each is a link through `..data`, which leads to a directory
 * that is never changed, and is turned to the next one.
 */
function writeAtOnce(directory: string, files: readonly [string, string][]): void {
  const current = join(directory, '..data');
  const shown = new Set(files.map(([file]) => file.split('/')[0] ?? ''));
  const old = existsSync(current) ? readlinkSync(current) : undefined;
  const isSame =
    old !== undefined &&
    readdirSync(current).length === shown.size &&
    files.every(([file, text]) => isText(join(current, file), text));
  if (isSame) return;
  const next = `..${process.hrtime.bigint()}`;
  mkdirSync(join(directory, next));
  for (const [file, text] of files) {
    const path = join(directory, next, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  symlinkSync(next, `${current}.new`);
  renameSync(`${current}.new`, current);
  for (const name of readdirSync(directory)) {
    if (!name.startsWith('..') && !shown.has(name)) rmSync(join(directory, name));
  }
  for (const name of shown) {
    const link = join(directory, name);
    if (!lstatSync(link, { throwIfNoEntry: false })) symlinkSync(join('..data', name), link);
  }
  if (old !== undefined) rmSync(join(directory, old), { recursive: true });
}

function isText(path: string, text: string): boolean {
  return existsSync(path) && readFileSync(path, 'utf8') === text;
}

/** Files of a Secret or ConfigMap volume: all entries, or those that `items` names. */
function selectedItems(
  source: JsonObject,
  data: Readonly<Record<string, string>>,
): [string, string][] {
  const items = objectsAt(source, 'items');
  if (items.length === 0) return Object.entries(data);
  return items.map((item) => [stringAt(item, 'path'), data[stringAt(item, 'key')] ?? '']);
}

/** The claims of a pod that are not there. */
export function missingClaims(api: ObjectApi, pod: KubeObject): string[] {
  const resource = api.resources.builtin('persistentvolumeclaims');
  return claimsOf(pod).filter(
    (name) => api.find(resource, pod.metadata.namespace, name) === undefined,
  );
}
