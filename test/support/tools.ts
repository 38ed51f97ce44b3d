import { execFileSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs that some tests need, beside the packages of npm. */
export type ToolName =
  | 'buildah'
  | 'chromium'
  | 'curl'
  | 'etcd'
  | 'etcdctl'
  | 'etcdctl-3.4'
  | 'etcdutl'
  | 'h2load'
  | 'helm'
  | 'ip'
  | 'kubectl'
  | 'memcached'
  | 'mount'
  | 'moto-5.2'
  | 'nft'
  | 'openssl'
  | 'podman'
  | 'promtool'
  | 'python3-etcd3'
  | 'runc'
  | 's3rver'
  | 'strace'
  | 'swift-proxy-server';

interface VersionRule {
  readonly args: readonly string[];
  readonly accepted: RegExp;
  readonly wanted: string;
}

const etcdVersion = { accepted: /version: 3\.5\./i, wanted: '3.5' };

/** Debian's stable packages of these are too old to compare with. */
const versionRules: Partial<Record<ToolName, VersionRule>> = {
  etcd: { args: ['--version'], ...etcdVersion },
  etcdctl: { args: ['version'], ...etcdVersion },
  'etcdctl-3.4': { args: ['version'], accepted: /version: 3\.4\./i, wanted: '3.4' },
  etcdutl: { args: ['version'], ...etcdVersion },
};

type Finding = { path: string } | { missing: string };

const findings = new Map<ToolName, Finding>();

/**
 * The path of a program in PATH, of a version that the tests accept, or undefined. With MAINSTAY_REQUIRE_TOOLS=1 a
 * program that is not there is an error: then nothing can be skipped for the lack of it.
 */
export function findTool(name: ToolName): string | undefined {
  const finding = find(name);
  if ('path' in finding) return finding.path;
  if (process.env['MAINSTAY_REQUIRE_TOOLS'] === '1') throw new Error(finding.missing);
  return undefined;
}

/** The path of a program that the test has asked for by {@link needs}. */
export function toolPath(name: ToolName): string {
  const path = findTool(name);
  if (path === undefined) throw new Error(`${name} is missing: name it in needs()`);
  return path;
}

/**
 * Options of a test that runs these programs: `test('...', needs('etcd'), ...)`. It is skipped, with a reason that the
 * closing line of the run repeats, when one is missing; with MAINSTAY_REQUIRE_TOOLS=1 it fails instead.
 */
export function needs(...names: readonly ToolName[]): { skip: string | false } {
  const missing = names.flatMap((name) => {
    const finding = find(name);
    return findTool(name) === undefined && 'missing' in finding ? [finding.missing] : [];
  });
  return { skip: missing.length === 0 ? false : missing.join(', ') };
}

function find(name: ToolName): Finding {
  const known = findings.get(name);
  if (known !== undefined) return known;
  const finding = look(name);
  findings.set(name, finding);
  return finding;
}

/** Debian's own Python, which has Debian's packages; another one may come first in PATH. */
const debianPython = '/usr/bin/python3';

function lookForPackage(name: string): Finding {
  try {
    execFileSync(debianPython, ['-c', `import ${name}`], { stdio: 'ignore', timeout: 30_000 });
    return { path: debianPython };
  } catch {
    return { missing: `${debianPython} has no package ${name}` };
  }
}

function look(name: ToolName): Finding {
  if (name === 'python3-etcd3') return lookForPackage('etcd3');
  const path = inPath(name);
  if (path === undefined) return { missing: `${name} is not in PATH` };
  const rule = versionRules[name];
  if (rule === undefined) return { path };
  const line = versionLine(path, rule.args);
  if (rule.accepted.test(line)) return { path };
  return { missing: `${name} ${rule.wanted} is not in PATH (found: ${line})` };
}

function versionLine(path: string, args: readonly string[]): string {
  try {
    return execFileSync(path, args, { encoding: 'utf8', timeout: 10_000 }).split('\n')[0] ?? '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function inPath(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
