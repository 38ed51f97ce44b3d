#!/usr/bin/env node
// [io] kubectl-mainstay: the plugin of kubectl for people.
import { writeFileSync } from 'node:fs';
import type { StoreCluster } from '../api/types.ts';
import { HttpKubeClient } from '../kube/client.ts';
import { currentNamespace, loadConnection } from '../kube/kubeconfig.ts';
import { objectPath } from '../kube/paths.ts';
import { EditError } from './edit.ts';
import { type CliFlags, parseFlags, UsageError } from './flags.ts';
import { moveLeader } from './move-leader.ts';
import { editPlanView, planEdit, RefusedEdit } from './plan-edit.ts';
import { reportFiles } from './report.ts';
import { membersView, statusView } from './status-view.ts';
import { tarball } from './tar.ts';
import { type Paint, painter } from './terminal.ts';

const exitFailed = 1;
const exitUsage = 2;
const exitRefused = 3;

interface Setting {
  readonly kube: HttpKubeClient;
  readonly flags: CliFlags;
  readonly namespace: string;
  readonly paint: Paint;
}

async function main(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args);
  if ('help' in flags) {
    process.stdout.write(flags.help);
    return 0;
  }
  const connection = loadConnection(flags.kubeconfig, flags.context);
  const namespace =
    flags.namespace ?? currentNamespace(flags.kubeconfig, flags.context) ?? 'default';
  const kube = new HttpKubeClient(connection, { fieldManager: 'kubectl-mainstay' });
  const hasColours = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
  try {
    const lines = await run({ kube, flags, namespace, paint: painter(hasColours) });
    process.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  } finally {
    kube.close();
  }
}

/** What to show. */
async function run(setting: Setting): Promise<readonly string[]> {
  const { kube, flags, namespace, paint } = setting;
  const nowMs = Date.now();
  switch (flags.command) {
    case 'status':
      return statusView(await clusterOf(setting), nowMs, paint);
    case 'members':
      return membersView(await clusterOf(setting), paint);
    case 'plan':
      return editPlanView(await planEdit(kube, flags, { namespace, nowMs }), paint);
    case 'move-leader':
      return [await moveLeader(kube, await clusterOf(setting), flags.rest[0])];
    case 'restart': {
      await change(setting, { update: { restart: new Date(nowMs).toISOString() } });
      return [
        `${flags.name} is being restarted, one member at a time; "kubectl mainstay status ${flags.name}" shows how far.`,
      ];
    }
    case 'pause':
      await change(setting, { paused: true });
      return [`${flags.name} is paused: the operator changes nothing until "resume".`];
    case 'resume':
      await change(setting, { paused: false });
      return [`${flags.name} is not paused: the operator goes on.`];
    case 'report':
      return report(setting, new Date(nowMs));
  }
}

async function clusterOf({ kube, flags, namespace }: Setting): Promise<StoreCluster> {
  const { name } = flags;
  const cluster = await kube.get<StoreCluster>(objectPath('StoreCluster', { namespace, name }));
  if (cluster !== undefined) return cluster;
  throw new Error(
    `there is no StoreCluster ${namespace}/${name}: see "kubectl get storeclusters -A"`,
  );
}

async function change(setting: Setting, spec: object): Promise<void> {
  const { name } = (await clusterOf(setting)).metadata;
  const { kube, namespace } = setting;
  await kube.patch(objectPath('StoreCluster', { namespace, name }), { spec });
}

async function report(setting: Setting, now: Date): Promise<readonly string[]> {
  const { kube, flags } = setting;
  const cluster = await clusterOf(setting);
  const files = await reportFiles(kube, cluster, { now, tailLines: flags.tail });
  const stamp = now.toISOString().slice(0, 19).replaceAll(':', '-');
  const output = flags.output ?? `mainstay-report-${flags.name}-${stamp}.tar.gz`;
  const named = files.map(({ name, text }) => ({ name: `mainstay-report/${name}`, text }));
  writeFileSync(output, tarball(named, now));
  return [
    `${output} has ${files.length} files. No data of Secrets is in it; logs are as they are.`,
  ];
}

function exitOf(error: unknown): number {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof RefusedEdit) {
    process.stderr.write(`The API server would refuse this edit: ${text}\n`);
    return exitRefused;
  }
  const isUsage = error instanceof UsageError || error instanceof EditError;
  const hint = error instanceof UsageError ? ' (--help shows how)' : '';
  process.stderr.write(`kubectl mainstay: ${text}${hint}\n`);
  return isUsage ? exitUsage : exitFailed;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough, such as head, is no error.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = exitOf(error);
}
