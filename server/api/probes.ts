import { noMember } from '../base/ids.ts';
import { clusterVersion, compatibilityVersion, mainstayVersion } from '../config/version.ts';
import { AlarmType, RangeRequest } from '../proto/gen/rpc.ts';
import { statusOf, toStatus } from './errors.ts';
import type { MemberPort } from './member-port.ts';
import { ProbeCounters } from './probe-counters.ts';

/** An HTTP request without its body; probes have none. */
export interface ProbeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface ProbeAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly allow?: string;
}

/** Resolves when it is well; the reason otherwise is the error. */
type Check = (port: MemberPort) => Promise<void>;

const checks: Readonly<Record<string, Check>> = {
  serializable_read: async (port) => readLocally(port),
  linearizable_read: async (port) => {
    try {
      await port.linearizableRead();
    } catch (error) {
      throw new Error(`range error: ${toStatus(error).message}`, { cause: error });
    }
    readLocally(port);
  },
  observer_staleness: async (port) => {
    if (port.isStale()) throw new Error(statusOf('ObserverStale').message);
  },
  non_learner: async (port) => {
    if (port.raftStatus().isLearner) throw new Error('not supported for learner');
  },
  data_corruption: async (port) => {
    if (hasAlarm(port, AlarmType.CORRUPT)) throw new Error('alarm activated: CORRUPT');
  },
};

const livez = ['serializable_read'] as const;
const readyz = [
  'serializable_read',
  'linearizable_read',
  'non_learner',
  'data_corruption',
] as const;

/** It stays a learner; and one check of its age is a steadier answer than a barrier for each probe. */
const readyzOfObserver = ['serializable_read', 'observer_staleness', 'data_corruption'] as const;
const allOfReadyz = [...readyz, 'observer_staleness'] as const;

/** etcd's `/health`, `/livez`, `/readyz` with a path for each check, and `/version`. Undefined: no such path. */
export async function probe(
  port: MemberPort,
  request: ProbeRequest,
  counters: ProbeCounters = new ProbeCounters(),
): Promise<ProbeAnswer | undefined> {
  const answer = probeOf(request.path, counters);
  if (answer === undefined) return undefined;
  if (request.method !== 'GET') {
    return { ...plain(405, 'Method Not Allowed\n'), allow: 'GET' };
  }
  return answer(port, request.query);
}

type Probe = (port: MemberPort, query: URLSearchParams) => Promise<ProbeAnswer>;

function probeOf(path: string, counters: ProbeCounters): Probe | undefined {
  switch (path) {
    case '/health':
      return (port, query) => health(port, query, counters);
    case '/version':
      return version;
    case '/livez':
      return (port, query) => runChecks({ port, counters }, { type: 'livez', names: livez }, query);
    case '/readyz':
      return (port, query) => {
        const names = port.raftStatus().isObserver ? readyzOfObserver : readyz;
        return runChecks({ port, counters }, { type: 'readyz', names }, query);
      };
  }
  const [, type = '', name = ''] = /^\/(livez|readyz)\/(.+)$/.exec(path) ?? [];
  const names: readonly string[] = type === 'livez' ? livez : type === 'readyz' ? allOfReadyz : [];
  if (!names.includes(name)) return undefined;
  return (port, query) => runChecks({ port, counters }, { type, names: [name] }, query);
}

async function version(): Promise<ProbeAnswer> {
  return {
    status: 200,
    contentType: 'application/json',
    body: JSON.stringify({
      etcdserver: compatibilityVersion,
      etcdcluster: clusterVersion,
      storage: clusterVersion,
      mainstay: mainstayVersion,
    }),
  };
}

async function health(
  port: MemberPort,
  query: URLSearchParams,
  counters: ProbeCounters,
): Promise<ProbeAnswer> {
  const reason = await sickness(port, query);
  counters.answered(reason === '');
  const body = JSON.stringify({ health: String(reason === ''), reason });
  return reason === '' ? plain(200, body) : plain(503, `${body}\n`);
}

/** Empty when there is none. */
async function sickness(port: MemberPort, query: URLSearchParams): Promise<string> {
  const excluded = query.getAll('exclude');
  for (const name of ['NOSPACE', 'CORRUPT'] as const) {
    if (!excluded.includes(name) && hasAlarm(port, AlarmType[name])) return `ALARM ${name}`;
  }
  const isSerializable = query.get('serializable') === 'true';
  if (!isSerializable && port.raftStatus().leader === noMember) return 'RAFT NO LEADER';
  try {
    if (!isSerializable) await port.linearizableRead();
    readLocally(port);
  } catch (error) {
    return `RANGE ERROR:${toStatus(error).message}`;
  }
  return '';
}

async function runChecks(
  { port, counters }: { port: MemberPort; counters: ProbeCounters },
  { type, names }: { type: string; names: readonly string[] },
  query: URLSearchParams,
): Promise<ProbeAnswer> {
  const excluded = query.getAll('exclude');
  const lines: string[] = [];
  let isWell = true;
  for (const name of names) {
    if (excluded.includes(name)) continue;
    const failure = await failureOf(port, name);
    isWell &&= failure === undefined;
    counters.checked(type, name, failure === undefined);
    lines.push(failure === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${failure}\n`);
  }
  const details = lines.join('');
  if (!isWell) return plain(503, `${details}\n`);
  return plain(200, query.has('verbose') ? `${details}ok\n` : 'ok\n');
}

async function failureOf(port: MemberPort, name: string): Promise<string | undefined> {
  try {
    await checks[name]?.(port);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const anyKey = RangeRequest.create({ key: new Uint8Array(1), limit: 1, keysOnly: true });

function readLocally(port: MemberPort): void {
  port.range(anyKey);
}

function hasAlarm(port: MemberPort, alarm: AlarmType): boolean {
  return port.alarms().some((raised) => raised.alarm === alarm);
}

function plain(status: number, body: string): ProbeAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}
