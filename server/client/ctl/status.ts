import { hexId } from '../../base/ids.ts';
import type { StatusResponse } from '../../proto/gen/rpc.ts';
import { ClientError } from '../errors.ts';
import { writeForms } from './answer.ts';
import { type Command, type CommandSpec, commandOf } from './command.ts';
import { clusterFlag, endpointsFor } from './endpoint.ts';
import { jsonOf, sizeText } from './text.ts';

export const statusCommand: CommandSpec = commandOf({
  name: 'status',
  chapter: 'Members',
  summary:
    'How each member is, in one line each; fails when one does not answer or reports an error.',
  formats: ['table', 'simple', 'json'],
  flags: [clusterFlag],
  examples: [{ words: 'status' }, { words: 'status --cluster' }],
  run: status,
});

/** A member's status, or why there is none. */
interface Health {
  readonly endpoint: string;
  readonly status?: StatusResponse;
  readonly failure?: string;
}

async function status(command: Command): Promise<boolean> {
  const endpoints = await endpointsFor(command);
  const health = await Promise.all(endpoints.map((endpoint) => healthOf(command, endpoint)));
  writeForms(command, {
    simple: () => health.map((each) => `${statusRow(each).join(', ')}\n`),
    json: () => jsonOf(health).trimEnd(),
    table: () => [statusHead, ...health.map(statusRow)],
  });
  return health.every(({ status: told }) => told !== undefined && told.errors.length === 0);
}

async function healthOf({ client }: Command, endpoint: string): Promise<Health> {
  try {
    return { endpoint, status: await client.status(endpoint) };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { endpoint, failure: error.text };
  }
}

const statusHead = ['ENDPOINT', 'ID', 'VERSION', 'ROLE', 'TERM', 'APPLIED', 'DB SIZE', 'ERRORS'];

function statusRow({ endpoint, status: told, failure }: Health): string[] {
  if (told === undefined) return [endpoint, '', '', '', '', '', '', failure ?? ''];
  const { header, raftTerm, raftAppliedIndex, raftIndex, dbSize, errors } = told;
  return [
    endpoint,
    hexId(header?.memberId ?? 0n),
    told.version,
    roleOf(told),
    String(raftTerm),
    `${raftAppliedIndex} of ${raftIndex}`,
    sizeText(dbSize),
    errors.map((error) => error.trim()).join('; '),
  ];
}

export function roleOf({ isLearner, isObserver, leader, header }: StatusResponse): string {
  if (isObserver) return 'observer';
  if (isLearner) return 'learner';
  return leader !== 0n && leader === header?.memberId ? 'leader' : 'follower';
}
