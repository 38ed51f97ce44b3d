// [io] Where the API server is and how to log in there, as kubectl finds it.
import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { load } from 'js-yaml';
import type { Connection } from './client.ts';

/** `--kubeconfig`, else what kubectl would use, else the service account of the pod. `context`: another than the current. */
export function loadConnection(file: string | undefined, context?: string): Connection {
  const files = filesFor(file);
  if (files.length === 0 && isInCluster()) return serviceAccountConnection();
  const { cluster, user } = findContext(readConfigs(files), context);
  if (cluster === undefined) {
    throw new Error('the kubeconfig has no current context with a cluster');
  }
  const { server } = cluster.entry;
  const isSimple = user === undefined || simpleUser(user.entry);
  if (!isSimple || cluster.entry['proxy-url'] !== undefined) {
    return { server, authorize: authorizeByLibrary(files, context) };
  }
  return { server, authorize: async (options) => authorize(options, cluster, user) };
}

/** The namespace of the kubeconfig's context. */
export function currentNamespace(file: string | undefined, context?: string): string | undefined {
  const files = filesFor(file);
  if (files.length === 0 && isInCluster()) {
    const path = join(serviceAccountDirectory, 'namespace');
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
  }
  return findContext(readConfigs(files), context).namespace;
}

interface Cluster {
  readonly server: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'tls-server-name'?: string;
  readonly 'proxy-url'?: string;
}

interface User {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly username?: string;
  readonly password?: string;
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  /** exec, auth-provider, as and whatever else there is. */
  readonly [other: string]: unknown;
}

interface Config {
  readonly 'current-context'?: string;
  readonly clusters?: readonly { readonly name: string; readonly cluster: Cluster }[];
  readonly users?: readonly { readonly name: string; readonly user?: User }[];
  readonly contexts?: readonly {
    readonly name: string;
    readonly context: {
      readonly cluster: string;
      readonly user?: string;
      readonly namespace?: string;
    };
  }[];
}

/** An entry, and the directory that its relative paths are meant from. */
interface Placed<T> {
  readonly entry: T;
  readonly directory: string;
}

function filesFor(file: string | undefined): readonly string[] {
  if (file !== undefined) return [file];
  const listed = (process.env['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  if (listed.length > 0) return listed.filter((path) => existsSync(path));
  const usual = join(homedir(), '.kube', 'config');
  return existsSync(usual) ? [usual] : [];
}

function readConfigs(files: readonly string[]): readonly Placed<Config>[] {
  return files.map((file) => {
    const entry: unknown = load(readFileSync(file, 'utf8'));
    if (typeof entry !== 'object' || entry === null) throw new Error(`${file} is no kubeconfig`);
    return { entry, directory: dirname(resolve(file)) };
  });
}

/** Of several files the first that names something counts, as for kubectl. */
function findContext(configs: readonly Placed<Config>[], wanted: string | undefined) {
  const name = wanted ?? configs.map(({ entry }) => entry['current-context']).find(Boolean);
  const contexts = configs.flatMap(({ entry }) => entry.contexts ?? []);
  const context = contexts.find((each) => each.name === name)?.context;
  if (context === undefined && wanted !== undefined) {
    const names = contexts.map((each) => each.name).join(', ') || 'none';
    throw new Error(`the kubeconfig has no context "${wanted}"; it has: ${names}`);
  }
  const clusters = configs.flatMap(({ entry, directory }) =>
    (entry.clusters ?? []).map((each) => ({ name: each.name, entry: each.cluster, directory })),
  );
  const users = configs.flatMap(({ entry, directory }) =>
    (entry.users ?? []).map((each) => ({ name: each.name, entry: each.user ?? {}, directory })),
  );
  return {
    namespace: context?.namespace,
    cluster: clusters.find((each) => each.name === context?.cluster),
    user: users.find((each) => each.name === context?.user),
  };
}

const simpleFields = ['token', 'tokenFile', 'username', 'password'].concat(
  ['client-certificate', 'client-certificate-data'],
  ['client-key', 'client-key-data'],
);

function simpleUser(user: User): boolean {
  return Object.keys(user).every((field) => simpleFields.includes(field));
}

function authorize(
  options: RequestOptions,
  cluster: Placed<Cluster>,
  user: Placed<User> | undefined,
): void {
  const { entry } = cluster;
  const bytes = ({ directory }: Placed<unknown>, data: string | undefined, file?: string) =>
    data !== undefined
      ? Buffer.from(data, 'base64')
      : file === undefined
        ? undefined
        : readFileSync(resolve(directory, file));
  set(options, {
    ca: bytes(cluster, entry['certificate-authority-data'], entry['certificate-authority']),
    rejectUnauthorized: entry['insecure-skip-tls-verify'] === true ? false : undefined,
    servername: entry['tls-server-name'],
  });
  if (user === undefined) return;
  const who = user.entry;
  set(options, {
    cert: bytes(user, who['client-certificate-data'], who['client-certificate']),
    key: bytes(user, who['client-key-data'], who['client-key']),
  });
  const token =
    who.tokenFile === undefined ? who.token : bytes(user, undefined, who.tokenFile)?.toString();
  if (token !== undefined) addAuthorization(options, `Bearer ${token.trim()}`);
  else if (who.username !== undefined) {
    const pair = Buffer.from(`${who.username}:${who.password ?? ''}`).toString('base64');
    addAuthorization(options, `Basic ${pair}`);
  }
}

/** What is undefined stays as it was. */
function set(options: RequestOptions, fields: object): void {
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) Object.assign(options, { [key]: value });
  }
}

function addAuthorization(options: RequestOptions, value: string): void {
  options.headers = { ...(options.headers as object), Authorization: value };
}

/**
 * Programs that fetch tokens, cloud providers, proxies: client-node knows every way. It is loaded only for these, since
 * it takes as much memory as all the rest of the operator.
 */
function authorizeByLibrary(
  files: readonly string[],
  context: string | undefined,
): Connection['authorize'] {
  const loaded = import('@kubernetes/client-node').then(({ KubeConfig }) => {
    const config = new KubeConfig();
    const [first, ...others] = files;
    config.loadFromFile(first ?? '');
    for (const file of others) {
      const further = new KubeConfig();
      further.loadFromFile(file);
      config.mergeConfig(further, true);
    }
    if (context !== undefined) config.setCurrentContext(context);
    return config;
  });
  loaded.catch(() => {
    // Told to whoever makes the first request.
  });
  return async (options) => (await loaded).applyToHTTPSOptions(options);
}

const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

function isInCluster(): boolean {
  return process.env['KUBERNETES_SERVICE_HOST'] !== undefined;
}

/** The kubelet replaces the token long before it ends: it is read for each request, from memory. */
function serviceAccountConnection(): Connection {
  const host = process.env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = process.env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const ca = readFileSync(join(serviceAccountDirectory, 'ca.crt'));
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    authorize: async (options) => {
      set(options, { ca });
      const token = readFileSync(join(serviceAccountDirectory, 'token'), 'utf8').trim();
      addAuthorization(options, `Bearer ${token}`);
    },
  };
}
