import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { versionDefault } from '../../operator/api/defaults.ts';
import { Client } from '../../server/client/client.ts';
import { needs, toolPath } from '../../test/support/tools.ts';
import { root } from './definition.ts';
import { isReal } from './real-cluster.ts';
import { seconds, until } from './waiting.ts';

// The charts on a real Kubernetes, as a person uses them: helm and kubectl, and a client of the store.

const run = promisify(execFile);
const options = {
  ...(isReal
    ? needs('helm', 'kubectl')
    : { skip: 'KUBECONFIG names no Kubernetes to install charts on' }),
  timeout: 900_000,
};
const chart = join(root, 'helm/mainstay');
const readyMsMax = 240_000;
const othersReason = 'this Kubernetes has stores that a new operator would take over';

/** A namespace of its own for one release, and how to speak of it. */
class Installation {
  readonly namespace = `mainstay-helm-${randomBytes(4).toString('hex')}`;
  readonly #context: TestContext;

  constructor(context: TestContext) {
    this.#context = context;
  }

  note(text: string): void {
    this.#context.diagnostic(text);
  }

  async open(): Promise<void> {
    await this.kubectl('create', 'namespace', this.namespace);
    const standard = 'pod-security.kubernetes.io/enforce=restricted';
    await this.kubectl('label', 'namespace', this.namespace, standard);
    await this.#adoptDefinitions();
  }

  /** Those that are there already, by kubectl or another release, become this release's: as docs/OPERATIONS.md has it. */
  async #adoptDefinitions(): Promise<void> {
    const present = await this.kubectl('get', 'crds', '-o', 'name');
    for (const name of present.split('\n').filter((line) => line.endsWith('.mainstay.dev'))) {
      await this.kubectl('label', '--overwrite', name, 'app.kubernetes.io/managed-by=Helm');
      const release = [
        'meta.helm.sh/release-name=mainstay',
        `meta.helm.sh/release-namespace=${this.namespace}`,
      ];
      await this.kubectl('annotate', '--overwrite', name, ...release);
    }
  }

  /** Whether a new operator for all namespaces would take over what somebody has. */
  async hasOtherStores(): Promise<boolean> {
    const stores = ['get', 'storeclusters', '--all-namespaces', '-o', 'name'];
    return (await this.kubectl(...stores).catch(() => '')) !== '';
  }

  async close(): Promise<void> {
    // While the operator is there to let go of them.
    const stores = ['storeclusters', '--all', '--namespace', this.namespace, '--timeout=120s'];
    await this.kubectl('delete', ...stores).catch((error: unknown) => this.note(String(error)));
    await this.helm('uninstall', 'mainstay').catch((error: unknown) => this.note(String(error)));
    await this.kubectl('delete', 'namespace', this.namespace, '--timeout=180s');
  }

  helm(...args: readonly string[]): Promise<string> {
    return outputOf('helm', [...args, '--namespace', this.namespace]);
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return outputOf('kubectl', args);
  }

  /** Of this namespace. */
  get(...args: readonly string[]): Promise<string> {
    return this.kubectl('get', '--namespace', this.namespace, ...args);
  }

  async install(path: string, ...more: readonly string[]): Promise<void> {
    const values = [...imageValues(), ...more];
    await this.helm('install', 'mainstay', path, ...values, '--wait', '--timeout', '3m');
  }

  async installStore(name: string): Promise<void> {
    const values = ['--set', 'cluster.deletionPolicy=Delete'];
    await this.helm('install', name, join(root, 'helm/store'), ...values);
  }

  /** Resolves when the store has acknowledged a write. */
  async write(name: string, value: string): Promise<void> {
    await until(`${name} takes a write`, readyMsMax, async () => {
      const ip = await this.get('service', name, '-o', 'jsonpath={.spec.clusterIP}').catch(
        () => '',
      );
      if (ip === '') return false;
      return this.#client(ip, (client) => client.put('greeting', value)).then(
        () => true,
        () => false,
      );
    });
  }

  async read(name: string): Promise<string | undefined> {
    const ip = await this.get('service', name, '-o', 'jsonpath={.spec.clusterIP}');
    return this.#client(ip, async (client) => {
      const found = await client.get('greeting');
      return found === undefined ? undefined : Buffer.from(found.value).toString();
    });
  }

  async #client<T>(ip: string, use: (client: Client) => Promise<T>): Promise<T> {
    const client = new Client({ endpoints: [`http://${ip}:2379`], timeoutMs: 5_000 });
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }

  async untilReady(name: string): Promise<void> {
    const what = `storecluster/${name}`;
    const wait = ['wait', '--namespace', this.namespace, '--for=condition=Ready', what];
    await this.kubectl(...wait, '--timeout=240s');
  }

  /** Names and UIDs of a store's pods, in their order. */
  podUids(name: string): Promise<string> {
    const columns = 'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{"\\n"}{end}';
    return this.get('pods', '-l', `mainstay.dev/cluster=${name}`, '-o', columns);
  }

  async remove(name: string): Promise<void> {
    await this.kubectl('delete', '--namespace', this.namespace, `storecluster/${name}`);
  }
}

async function outputOf(program: 'helm' | 'kubectl', args: readonly string[]): Promise<string> {
  const { stdout } = await run(toolPath(program), [...args], { maxBuffer: 64 * 1024 ** 2 });
  return stdout.trim();
}

/** The image that the nodes have. */
function imageOfNodes(): { readonly repository: string; readonly tag: string } {
  const image = process.env['MAINSTAY_IMAGE'] ?? `mainstay:${versionDefault}`;
  const [repository = '', tag = ''] = image.split(/:(?=[^/]*$)/);
  return { repository, tag };
}

function imageValues(): readonly string[] {
  const { repository, tag } = imageOfNodes();
  return ['--set', `image.repository=${repository}`, '--set-string', `image.tag=${tag}`];
}

/**
 * The chart that is upgraded from. No release had one before, so it is this one as an older one would be: another
 * version, one replica less, and another definition of StoreCluster.
 */
function olderChart(directory: string): string {
  const older = join(directory, 'mainstay');
  cpSync(chart, older, { recursive: true });
  const change = (path: string, from: RegExp, to: string) => {
    const text = readFileSync(join(older, path), 'utf8');
    assert.match(text, from);
    writeFileSync(join(older, path), text.replace(from, to));
  };
  change('Chart.yaml', /^version: .*$/m, 'version: 0.1.0');
  change('values.yaml', /^replicas: 2$/m, 'replicas: 1');
  change('files/crds/storeclusters.mainstay.dev.yaml', /What is wanted\./, 'What was wanted.');
  return older;
}

async function withInstallation(
  context: TestContext,
  play: (installation: Installation) => Promise<void>,
): Promise<void> {
  const installation = new Installation(context);
  await installation.open();
  try {
    await play(installation);
  } catch (error) {
    const seen = [
      installation.get('all,storeclusters,events', '-o', 'wide'),
      installation.kubectl(
        'logs',
        `--namespace=${installation.namespace}`,
        '--selector=app.kubernetes.io/component=operator',
        '--prefix',
        '--tail=60',
      ),
    ];
    for (const text of seen) console.error(await text.catch(String));
    throw error;
  } finally {
    await installation.close();
  }
}

test(
  'install, first write, upgrade with data pods untouched, uninstall that keeps data',
  options,
  (context) =>
    withInstallation(context, async (installation) => {
      if (await installation.hasOtherStores()) return context.skip(othersReason);
      const directory = mkdtempSync(join(tmpdir(), 'mainstay-chart-'));
      try {
        const startedMs = performance.now();
        await installation.install(olderChart(directory));
        const installedMs = performance.now();
        await installation.installStore('demo');
        await installation.write('demo', 'hello');
        installation.note(
          `helm install to first acknowledged write: ${seconds(performance.now() - startedMs)}, of which the operator ${seconds(installedMs - startedMs)}`,
        );
        await installation.untilReady('demo');
        const before = await installation.podUids('demo');
        assert.equal(before.split('\n').length, 3);
        assert.equal(await definitionOf(installation), 'What was wanted.');

        const upgradeMs = performance.now();
        await installation.helm(
          'upgrade',
          'mainstay',
          chart,
          ...imageValues(),
          '--wait',
          '--timeout',
          '3m',
        );
        installation.note(`helm upgrade: ${seconds(performance.now() - upgradeMs)}`);
        assert.equal(
          await definitionOf(installation),
          'What is wanted.',
          'the definitions were upgraded',
        );
        await installation.untilReady('demo');
        await installation.write('demo', 'after the upgrade');
        assert.equal(await installation.podUids('demo'), before);

        await installation.helm('uninstall', 'mainstay');
        assert.equal(
          await definitionOf(installation),
          'What is wanted.',
          'the definitions are kept',
        );
        assert.equal(await installation.read('demo'), 'after the upgrade');
        assert.equal(await installation.podUids('demo'), before);

        await installation.install(chart);
        await installation.untilReady('demo');
        assert.equal(await installation.podUids('demo'), before);
        await installation.remove('demo');
      } finally {
        rmSync(directory, { recursive: true });
      }
    }),
);

function definitionOf(installation: Installation): Promise<string> {
  const path = 'jsonpath={.spec.versions[0].schema.openAPIV3Schema.properties.spec.description}';
  return installation.kubectl('get', 'crd', 'storeclusters.mainstay.dev', '-o', path);
}

test('in one namespace, with no ClusterRole at all', options, (context) =>
  withInstallation(context, async (installation) => {
    const { namespace } = installation;
    await installation.install(chart, '--set', 'namespaced=true');
    const manifest = await installation.helm('get', 'manifest', 'mainstay');
    assert.doesNotMatch(manifest, /kind: ClusterRole/);
    const account = `system:serviceaccount:${namespace}:mainstay`;
    const may = async (verb: string, what: string, where: string) => {
      const args = ['auth', 'can-i', verb, what, '--namespace', where, '--as', account];
      // It exits with 1 to say no.
      return (await installation.kubectl(...args).catch(() => 'no')) === 'yes';
    };
    assert.deepEqual(
      [await may('create', 'pods', namespace), await may('list', 'pods', 'default')],
      [true, false],
    );
    await installation.installStore('demo');
    await installation.write('demo', 'hello');
    await installation.untilReady('demo');
    assert.equal(await installation.read('demo'), 'hello');
    await installation.remove('demo');
  }),
);

test('with kubectl alone', options, (context) =>
  withInstallation(context, async (installation) => {
    if (await installation.hasOtherStores()) return context.skip(othersReason);
    const directory = mkdtempSync(join(tmpdir(), 'mainstay-deploy-'));
    const file = join(directory, 'operator.yaml');
    const { repository, tag } = imageOfNodes();
    const text = readFileSync(join(root, 'deploy/operator.yaml'), 'utf8')
      .replaceAll(`mainstay:${versionDefault}`, `${repository}:${tag}`)
      .replaceAll('--image-repository=mainstay', `--image-repository=${repository}`);
    writeFileSync(file, text);
    const system = ['--namespace', 'mainstay-system'];
    try {
      await installation.kubectl('apply', '-f', join(root, 'crds'), '-f', file);
      const rollout = ['rollout', 'status', 'deployment/mainstay', '--timeout=180s'];
      await installation.kubectl(...rollout, ...system);
      await installation.installStore('demo');
      await installation.write('demo', 'hello');
      await installation.untilReady('demo');
      const ctl = ['mainstayctl', '--endpoints=demo:2379', 'get', 'greeting'];
      const within = ['exec', 'demo-1', '--namespace', installation.namespace, '--', ...ctl];
      assert.match(await installation.kubectl(...within), /hello/);
      const selector = '--selector=app.kubernetes.io/component=operator';
      assert.match(await installation.kubectl('logs', selector, ...system, '--tail=100'), /acted/);
      await installation.remove('demo');
    } finally {
      await installation.kubectl('delete', '-f', file, '--timeout=180s');
      rmSync(directory, { recursive: true });
    }
  }),
);
