import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import type { Api } from './player.ts';

/** A real API server of one's own, with the controllers that the contract covers. */
export interface RealApiServer {
  readonly api: Api;
  stop(): Promise<void>;
}

const token = 'contract';
const controllers = [
  'garbage-collector-controller',
  'namespace-controller',
  'disruption-controller',
  'persistentvolumeclaim-protection-controller',
];

/** Where suites like this look for the control plane's programs, by convention. */
const assets = process.env['KUBEBUILDER_ASSETS'] ?? '/usr/local/kubebuilder/bin';
const programs = ['kube-apiserver', 'kube-controller-manager', 'etcd', 'openssl'] as const;
type Program = (typeof programs)[number];

/** The programs that are needed and not there. */
export function missingPrograms(): string[] {
  const missing: string[] = programs.filter((name) => pathOf(name) === undefined);
  const etcd = pathOf('etcd');
  // Without progress requests (3.4) watches wait for what never comes.
  if (
    etcd !== undefined &&
    !/ 3\.[5-9]\./.test(execFileSync(etcd, ['--version'], { encoding: 'utf8' }))
  ) {
    missing.push('etcd 3.5');
  }
  return missing;
}

function pathOf(name: Program): string | undefined {
  return [assets, ...(process.env['PATH'] ?? '').split(delimiter)]
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Starts etcd, an API server and the controllers in a directory; logs and data stay there. */
export async function startRealApiServer(directory: string): Promise<RealApiServer> {
  const [clientPort, peerPort, port, managerPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const children: ChildProcess[] = [];
  const run = (name: Program, flags: Readonly<Record<string, string>>) => {
    const log = openSync(join(directory, `${name}.log`), 'a');
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    children.push(
      spawn(pathOf(name) ?? name, args, { cwd: directory, stdio: ['ignore', log, log] }),
    );
  };
  const key = join(directory, 'serviceaccount.key');
  execFileSync(pathOf('openssl') ?? 'openssl', ['genrsa', '-out', key, '2048'], {
    stdio: 'ignore',
  });
  writeFileSync(join(directory, 'tokens.csv'), `${token},admin,admin,system:masters\n`);
  writeKubeconfig(directory, port);
  run('etcd', {
    'data-dir': join(directory, 'etcd'),
    'listen-client-urls': `http://127.0.0.1:${clientPort}`,
    'advertise-client-urls': `http://127.0.0.1:${clientPort}`,
    'listen-peer-urls': `http://127.0.0.1:${peerPort}`,
    'initial-advertise-peer-urls': `http://127.0.0.1:${peerPort}`,
    'initial-cluster': `default=http://127.0.0.1:${peerPort}`,
  });
  run('kube-apiserver', {
    'etcd-servers': `http://127.0.0.1:${clientPort}`,
    'secure-port': String(port),
    'bind-address': '127.0.0.1',
    'cert-dir': join(directory, 'certificates'),
    'token-auth-file': join(directory, 'tokens.csv'),
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': key,
    'service-account-signing-key-file': key,
    'authorization-mode': 'RBAC',
    'service-cluster-ip-range': '10.96.0.0/16',
    'disable-admission-plugins': 'ServiceAccount',
  });
  const api = { url: `https://127.0.0.1:${port}`, headers: { Authorization: `Bearer ${token}` } };
  const stop = () => stopAll(children);
  try {
    await untilReady(api);
  } catch (error) {
    await stop();
    throw error;
  }
  run('kube-controller-manager', {
    kubeconfig: join(directory, 'kubeconfig'),
    'leader-elect': 'false',
    'secure-port': String(managerPort),
    'cert-dir': join(directory, 'manager-certificates'),
    controllers: controllers.join(','),
  });
  return { api, stop };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function writeKubeconfig(directory: string, port: number): void {
  const server = `https://127.0.0.1:${port}`;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'real', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'real', context: { cluster: 'real', user: 'admin' } }],
    'current-context': 'real',
  };
  writeFileSync(join(directory, 'kubeconfig'), JSON.stringify(config));
}

async function untilReady(api: Api): Promise<void> {
  // Its certificate is its own and new; it listens on the loopback address only.
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  const deadline = Date.now() + 120_000;
  for (;;) {
    const isReady = await fetch(`${api.url}/readyz`, { headers: api.headers }).then(
      (response) => response.ok,
      () => false,
    );
    if (isReady) return;
    if (Date.now() > deadline) throw new Error('the API server did not get ready: see its log');
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** Last started, first stopped: the API server does not end while its etcd is away. */
async function stopAll(children: readonly ChildProcess[]): Promise<void> {
  for (const child of children.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(timer);
  }
}
