import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { dump, load } from 'js-yaml';
import { definitions } from '../../operator/api/crd.ts';
import { versionDefault } from '../../operator/api/defaults.ts';
import { generatedChartFiles } from '../../operator/chart.ts';
import { parseFlags } from '../../operator/flags.ts';
import { operatorLabels } from '../../operator/resources/network-policy.ts';
import {
  leaseRules,
  nodeRules,
  type PolicyRule,
  workRules,
} from '../../operator/resources/permissions.ts';
import { needs } from '../support/tools.ts';
import { chartDirectory, helm, type Manifest, render, root, template, testdata } from './helm.ts';
import { podSecurityFaults } from './pod-security.ts';

// What the charts render: golden files for five sets of values, and what must hold for each of them.

const valueSets = readdirSync(testdata)
  .filter((file) => file.endsWith('.values.yaml'))
  .map((file) => file.replace('.values.yaml', ''));

function renderSet(name: string): readonly Manifest[] {
  return render({
    chart: name === 'store' ? 'store' : 'mainstay',
    args: ['--values', join(testdata, `${name}.values.yaml`)],
  });
}

/** Long texts that are files of the chart are compared with those, and named here. */
function shortened(manifest: Manifest): unknown {
  const { kind, metadata } = manifest;
  if (kind === 'CustomResourceDefinition') {
    const file = `files/crds/${metadata.name}.yaml`;
    assert.deepEqual(manifest, load(chartFile(file)));
    return { kind, metadata, text: file };
  }
  if (kind === 'ConfigMap') {
    const [entry] = Object.entries(manifest['data'] as Record<string, string>);
    assert.ok(entry);
    const [name, text] = entry;
    const file = `files/dashboards/${name.replace('mainstay-', '')}`;
    assert.deepEqual(JSON.parse(text), JSON.parse(chartFile(file)));
    return { ...manifest, data: { [name]: file } };
  }
  if (kind === 'PrometheusRule') {
    assert.deepEqual(manifest['spec'], load(chartFile('files/alerts.yaml')));
    return { ...manifest, spec: 'files/alerts.yaml' };
  }
  return manifest;
}

function chartFile(path: string): string {
  return readFileSync(join(chartDirectory, 'mainstay', path), 'utf8');
}

test('there are five sets of values', () => {
  assert.deepEqual(valueSets.toSorted(), ['default', 'given', 'monitored', 'namespaced', 'store']);
});

for (const name of valueSets) {
  test(`${name}: what is rendered is the golden file`, needs('helm'), () => {
    const file = join(testdata, `${name}.golden.yaml`);
    const objects = renderSet(name).map(shortened);
    const text = objects.map((each) => dump(each, { lineWidth: 120, noRefs: true })).join('---\n');
    if (process.env['REWRITE'] === '1') writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'));
  });

  test(`${name}: passes the restricted Pod Security standard`, needs('helm'), () => {
    assert.deepEqual(renderSet(name).flatMap(podSecurityFaults), []);
  });

  test(`${name}: the operator understands its arguments`, needs('helm'), () => {
    for (const { args, command } of renderSet(name).flatMap(containersOf)) {
      assert.deepEqual(command, ['mainstay-operator']);
      const flags = parseFlags(args);
      assert.ok(flags !== 'help' && flags.leaderElect && flags.healthPort === 8081);
      assert.doesNotMatch(flags.imageRepository, /[:@][^/]*$/);
    }
  });
}

test('the checker of Pod Security sees what is wrong', needs('helm'), () => {
  const deployment = deploymentOf(render({}));
  const worse = (change: (pod: Record<string, unknown>) => void): string[] => {
    const copy = structuredClone(deployment) as unknown as {
      spec: { template: { spec: Record<string, unknown> } };
    };
    change(copy.spec.template.spec);
    return podSecurityFaults(copy as unknown as Manifest);
  };
  assert.deepEqual(
    worse((pod) => {
      delete pod['securityContext'];
    }),
    [
      'Deployment mainstay: container operator: runAsNonRoot is not true',
      'Deployment mainstay: container operator: no seccompProfile',
    ],
  );
  const container = { name: 'x', securityContext: { privileged: true } };
  assert.equal(worse((pod) => Object.assign(pod, { containers: [container] })).length, 3);
  assert.equal(worse((pod) => Object.assign(pod, { hostNetwork: true })).length, 1);
  const volumes = [{ name: 'x', hostPath: { path: '/' } }];
  assert.equal(worse((pod) => Object.assign(pod, { volumes })).length, 1);
});

test('helm lint finds nothing', needs('helm'), () => {
  for (const name of valueSets) {
    const chart = join(chartDirectory, name === 'store' ? 'store' : 'mainstay');
    const values = join(testdata, `${name}.values.yaml`);
    const { status, stdout } = helm(['lint', '--strict', chart, '--values', values]);
    assert.equal(status, 0, stdout);
    assert.doesNotMatch(stdout, /\[(WARNING|ERROR)\]/);
  }
});

const refusals: readonly [string, readonly string[], RegExp][] = [
  ['a word where a number belongs', ['--set', 'replicas=many'], /replicas.*integer/],
  ['too many replicas', ['--set', 'replicas=9'], /replicas: Must be less than or equal to 5/],
  ['a value that is not there', ['--set', 'replica=2'], /property replica is not allowed/],
  ['one below the first level', ['--set', 'image.tga=1'], /property tga is not allowed/],
  ['an unknown pull policy', ['--set', 'image.pullPolicy=Sometimes'], /image\.pullPolicy.*one of/],
  ['a log level', ['--set', 'operator.logLevel=loud'], /operator\.logLevel.*one of/],
  [
    'a lease that is too short',
    ['--set', 'operator.leaderElectSeconds=1'],
    /greater than or equal to 3/,
  ],
  ['root', ['--set', 'runAsUser=0'], /runAsUser: Must be greater than or equal to 1/],
  [
    'a namespace without namespaced',
    ['--set', 'watchNamespace=stores'],
    /watchNamespace is "stores", but namespaced is false.*set namespaced=true/,
  ],
  [
    'a tag in the repository',
    ['--set', 'image.repository=a/b:1'],
    /give it as image\.tag or image\.digest/,
  ],
  [
    'a digest that is none',
    ['--set', 'image.digest=sha256:12'],
    /it must be sha256: and 64 hexadecimal/,
  ],
  ['a URL as registry', ['--set', 'image.registry=https://x'], /it is a host without a scheme/],
  [
    'a tag for all stores',
    ['--set', 'storeImageRepository=x:1'],
    /leave out the tag, each StoreCluster/,
  ],
  ['no account', ['--set', 'serviceAccount.create=false'], /serviceAccount\.name must say which/],
];

for (const [what, args, sentence] of refusals) {
  test(`refused with a sentence: ${what}`, needs('helm'), () => {
    const { status, stderr } = template({ args });
    assert.notEqual(status, 0);
    assert.match(stderr, sentence);
  });
}

test('the chart of a store refuses what cannot be', needs('helm'), () => {
  const refuses = (args: readonly string[], sentence: RegExp) => {
    const { status, stderr } = template({ chart: 'store', args });
    assert.notEqual(status, 0);
    assert.match(stderr, sentence);
  };
  refuses(['--set', 'cluster.replicas=9'], /cluster\.replicas: Must be less than or equal to 7/);
  refuses(['--set', 'backup.schedule=@daily'], /target/);
  refuses(['--set', 'name=Orders'], /would be called "Orders": a name has at most 40 lower-case/);
});

test('in all namespaces: the rules are those of the operator', needs('helm'), () => {
  const objects = renderSet('default');
  assert.deepEqual(rulesOf(objects, 'ClusterRole'), [...workRules, ...nodeRules]);
  assert.deepEqual(rulesOf(objects, 'Role'), leaseRules);
  const namespaces = objects.filter(({ kind }) => kind === 'Role').map(({ metadata }) => metadata);
  assert.deepEqual(
    namespaces.map(({ namespace }) => namespace),
    ['mainstay-system'],
  );
});

test('in one namespace: nothing is for the whole cluster', needs('helm'), () => {
  const objects = renderSet('namespaced');
  assert.deepEqual(rulesOf(objects, 'Role'), [...workRules, ...leaseRules]);
  assert.deepEqual(
    objects.filter(({ metadata }) => metadata.namespace === undefined),
    [],
  );
  const [binding] = objects.filter(({ kind }) => kind === 'RoleBinding');
  assert.equal(binding?.metadata.namespace, 'stores');
  assert.deepEqual(binding?.['subjects'], [
    { kind: 'ServiceAccount', name: 'mainstay', namespace: 'mainstay-system' },
  ]);
});

test('its rights are bound to the account that it runs under', needs('helm'), () => {
  for (const args of [[], ['--set', 'serviceAccount.name=other'], ['--set', 'namespaced=true']]) {
    const objects = render({ args });
    const account = (deploymentOf(objects)['spec'] as DeploymentSpec).template.spec
      .serviceAccountName;
    const bindings = objects.filter(({ kind }) => kind.endsWith('Binding'));
    assert.ok(bindings.length > 0);
    for (const binding of bindings) {
      assert.deepEqual(binding['subjects'], [
        { kind: 'ServiceAccount', name: account, namespace: 'mainstay-system' },
      ]);
    }
  }
});

test(
  'the definitions are those of crds/, are kept, and come with an upgrade',
  needs('helm'),
  () => {
    const rendered = renderSet('default').filter(({ kind }) => kind === 'CustomResourceDefinition');
    assert.equal(rendered.length, definitions.length);
    for (const { metadata, ...rest } of rendered) {
      const { metadata: plain, ...same } = load(
        readFileSync(join(root, 'crds', `${metadata.name}.yaml`), 'utf8'),
      ) as Manifest;
      assert.deepEqual(rest, same);
      assert.deepEqual(metadata, {
        ...plain,
        annotations: { 'helm.sh/resource-policy': 'keep' },
      });
    }
  },
);

test("stores' network policies know the operator by its labels", needs('helm'), () => {
  for (const name of ['default', 'given', 'namespaced']) {
    const { template: pod } = deploymentOf(renderSet(name))['spec'] as DeploymentSpec;
    for (const [label, value] of Object.entries(operatorLabels))
      assert.equal(pod.metadata.labels[label], value);
  }
});

test('the generated files of the chart are up to date', () => {
  for (const [path, text] of generatedChartFiles())
    assert.equal(readFileSync(join(root, path), 'utf8'), text, 'run npm run generate');
});

test('deploy/operator.yaml is what the chart renders, for kubectl', needs('helm'), () => {
  const file = join(root, 'deploy/operator.yaml');
  const namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: 'mainstay-system',
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    },
  };
  const objects = render({ args: ['--set', 'crds.install=false'] }).map(withoutHelm);
  const text = [namespace, ...objects].map((each) => dump(each, { noRefs: true })).join('---\n');
  const head =
    '# What helm/mainstay renders by default, for those without helm; crds/ come first.\n';
  if (process.env['REWRITE'] === '1') writeFileSync(file, head + text);
  assert.equal(readFileSync(file, 'utf8'), head + text, 'REWRITE=1 npm run unit -- test/helm');
});

/** Nobody should take it for a release of helm's. */
function withoutHelm({ apiVersion, kind, metadata, ...rest }: Manifest): object {
  const { 'helm.sh/chart': _, ...labels } = metadata.labels ?? {};
  const managed = { ...labels, 'app.kubernetes.io/managed-by': 'kubectl' };
  return { apiVersion, kind, metadata: { ...metadata, labels: managed }, ...rest };
}

test('the charts have the version of the release', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.equal(version, versionDefault);
  for (const chart of ['mainstay', 'store']) {
    const text = readFileSync(join(chartDirectory, chart, 'Chart.yaml'), 'utf8');
    const named = load(text) as { version: string; appVersion: string };
    assert.deepEqual([named.version, named.appVersion], [version, version]);
  }
});

test(
  'a long release name, or one with another word, gives names that Kubernetes takes',
  needs('helm'),
  () => {
    for (const release of ['a', 'x'.repeat(53), 'mainstay-two', `${'y'.repeat(44)}-mainstay`]) {
      const namespace = 'n'.repeat(63);
      const args = ['--set', 'dashboards.enabled=true'];
      for (const { kind, metadata } of render({ release, namespace, args })) {
        const limit = kind === 'Deployment' ? 63 : 253;
        assert.match(metadata.name, /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
        assert.ok(metadata.name.length <= limit, metadata.name);
      }
    }
  },
);

interface DeploymentSpec {
  readonly template: {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> };
    readonly spec: {
      readonly serviceAccountName: string;
      readonly containers: readonly Container[];
    };
  };
}

interface Container {
  readonly command: readonly string[];
  readonly args: readonly string[];
}

function deploymentOf(objects: readonly Manifest[]): Manifest {
  const deployment = objects.find(({ kind }) => kind === 'Deployment');
  assert.ok(deployment);
  return deployment;
}

function containersOf({ kind, spec }: Manifest): readonly Container[] {
  return kind === 'Deployment' ? (spec as DeploymentSpec).template.spec.containers : [];
}

function rulesOf(objects: readonly Manifest[], kind: string): readonly PolicyRule[] {
  const found = objects.filter((each) => each.kind === kind);
  return found.flatMap((each) => each['rules'] as PolicyRule[]);
}
