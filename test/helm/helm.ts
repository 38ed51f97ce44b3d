import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAll } from 'js-yaml';
import { toolPath } from '../support/tools.ts';

export const root = fileURLToPath(new URL('../../../', import.meta.url));
export const chartDirectory = join(root, 'helm');
export const testdata = join(root, 'test/helm/testdata');

/** A rendered object. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface HelmResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function helm(args: readonly string[]): HelmResult {
  const { status, stdout, stderr } = spawnSync(toolPath('helm'), [...args], {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { status, stdout, stderr };
}

export interface RenderOptions {
  readonly chart?: 'mainstay' | 'store';
  readonly release?: string;
  readonly namespace?: string;
  readonly args?: readonly string[];
}

/** What `helm template` says, good or bad. */
export function template(options: RenderOptions): HelmResult {
  const {
    chart = 'mainstay',
    release = 'mainstay',
    namespace = 'mainstay-system',
    args = [],
  } = options;
  const path = join(chartDirectory, chart);
  const kubernetes = ['--kube-version', '1.32.0', '--namespace', namespace];
  return helm(['template', release, path, ...kubernetes, ...args]);
}

/** The objects, by kind and name. Throws with helm's own words. */
export function render(options: RenderOptions): readonly Manifest[] {
  const { status, stdout, stderr } = template(options);
  if (status !== 0) throw new Error(`helm template: ${stderr}`);
  return (loadAll(stdout) as (Manifest | null)[])
    .filter((each) => each !== null)
    .toSorted((a, b) => keyOf(a).localeCompare(keyOf(b)));
}

function keyOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.namespace ?? ''}/${metadata.name}`;
}
