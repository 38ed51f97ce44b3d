import type { Authenticator } from '../api/authenticator.ts';
import type { Call, CallContext, Requests, Responses, StreamCall, UnaryCall } from '../api/call.ts';
import { GrpcCode, type Status, statusOf, toStatus } from '../api/errors.ts';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { WatchResponse } from '../proto/gen/rpc.ts';
import type { AuditLog } from './audit-log.ts';
import { type AuditedCall, auditLine, logLine } from './event.ts';
import type { AuditRules } from './rules.ts';
import { type AuditRow, auditRows, type Subject } from './subject.ts';

/** For calls that were refused before anyone has asked who calls. */
type Users = Pick<Authenticator, 'nameOf'>;

export interface AuditorModules {
  readonly log: AuditLog;
  readonly rules: AuditRules;
  readonly clock: Clock;
  /** Keys that go with a lease. */
  readonly leaseKeys: (id: bigint) => readonly Uint8Array[];
}

const ok: Status = Object.freeze({ code: GrpcCode.OK, message: '' });
const gone = Object.freeze({ code: GrpcCode.CANCELLED, message: 'the client is gone' });
const none = new Uint8Array(0);

/** Want of a right or of a good token, in whichever way a service tells it. */
const refusals = (
  ['PermissionDenied', 'UserEmpty', 'InvalidAuthToken', 'AuthOldRevision'] as const
).map((name) => statusOf(name).message);

/** Writes down calls when they have ended: who, from where, about what, with what outcome. */
export class Auditor {
  readonly #modules: AuditorModules;
  /** Hexadecimal. */
  readonly #member: string;
  /** Of every line, those that were dropped included: a gap tells of them. */
  #sequence = 0;
  #users: Users | undefined;

  constructor(modules: AuditorModules, member: string) {
    this.#modules = modules;
    this.#member = member;
  }

  /** Who knows the users, once there is someone. */
  bind(users: Users): void {
    this.#users = users;
  }

  begin(facts: object): void {
    void this.#add((head) => logLine(head, 'begin', facts), { important: true });
  }

  end(): void {
    void this.#add((head) => logLine(head, 'end', {}), { important: true });
  }

  /** The same call, written down. */
  audit(call: Call): Call {
    const row = auditRows.get(call.method.path) as AuditRow<unknown> | undefined;
    assert(row !== undefined, `it is not said how ${call.method.path} is written down`);
    return call.kind === 'unary' ? this.#unary(call, row) : this.#stream(call, row);
  }

  #unary(call: UnaryCall, row: AuditRow<unknown>): UnaryCall {
    return {
      ...call,
      run: (request, context) => {
        const record = new Recorded(call.method.path, context, this.#modules.clock.nowMs());
        const admitted = this.#admit(row);
        if (admitted === undefined) return this.#run({ call, row }, request, record);
        return admitted.then(() => this.#run({ call, row }, request, record));
      },
    };
  }

  #run(
    { call, row }: { readonly call: UnaryCall; readonly row: AuditRow<unknown> },
    request: unknown,
    record: Recorded,
  ): Promise<unknown> {
    const leaseKeys = this.#keysBefore(row, request);
    const over = (status: Status): Promise<void> | undefined =>
      this.#over(record, { row, request, status, leaseKeys });
    let answered: Promise<unknown>;
    try {
      answered = call.run(request, record.context);
    } catch (error) {
      answered = Promise.reject(error as Error);
    }
    return answered.then(
      (response) => {
        const room = over(ok);
        return room === undefined ? response : room.then(() => response);
      },
      async (error: unknown) => {
        await over(toStatus(error));
        throw error;
      },
    );
  }

  #stream(call: StreamCall, row: AuditRow<unknown>): StreamCall {
    return {
      ...call,
      open: (responses, context) => {
        const record = new Recorded(call.method.path, context, this.#modules.clock.nowMs());
        const stream = new AuditedStream(row, record, (request, status) => {
          void this.#over(record, { row, request, status });
        });
        try {
          const requests = call.open(stream.responses(responses), stream.context);
          return stream.requests(requests, () => this.#admit(row));
        } catch (error) {
          stream.ended(toStatus(error));
          throw error;
        }
      },
    };
  }

  /** Where callers block, what may be written down waits before it is served. */
  #admit(row: AuditRow<unknown>): Promise<void> | undefined {
    const { log } = this.#modules;
    return log.blocks && log.isFull && this.#mayBeWanted(row) ? log.admit() : undefined;
  }

  #mayBeWanted({ kind, leaseOf }: AuditRow<unknown>): boolean {
    const { rules } = this.#modules;
    return rules.mayWant(kind) || (leaseOf !== undefined && rules.mayWant('write'));
  }

  /** A revocation takes them away. */
  #keysBefore(row: AuditRow<unknown>, request: unknown): readonly Uint8Array[] {
    if (row.leaseOf === undefined || !this.#modules.rules.mayWant('write')) return [];
    return this.#modules.leaseKeys(row.leaseOf(request));
  }

  #over(record: Recorded, ended: EndedCall): Promise<void> | undefined {
    const { rules, clock } = this.#modules;
    const { row, request, status, leaseKeys = [] } = ended;
    const isRefused =
      status.code !== GrpcCode.OK && refusals.some((text) => status.message.includes(text));
    const isPossible = isRefused || leaseKeys.length > 0 || rules.mayWant(row.kind);
    if (!isPossible) return undefined;
    const subject = subjectOf(row, request, leaseKeys);
    if (!isRefused && !rules.wants(subject)) return undefined;
    const audited: AuditedCall = {
      subject,
      status,
      ...record.facts,
      user: this.#userOf(record, ended),
      durationMs: clock.nowMs() - record.startedMs,
    };
    const important = isRefused || subject.kind === 'auth' || subject.kind === 'admin';
    const isAdmitted = this.#mayBeWanted(row);
    return this.#add((head) => auditLine(head, audited), { important, isAdmitted });
  }

  /** Who logs in says his name; of the others some are refused before they are asked for it. */
  #userOf({ user, context }: Recorded, { row, request }: EndedCall): string | undefined {
    if (row.userOf !== undefined) return request === undefined ? undefined : row.userOf(request);
    return user ?? this.#users?.nameOf(context);
  }

  #add(
    lineOf: (head: { timeMs: number; sequence: number; member: string }) => string,
    options: { readonly important: boolean; readonly isAdmitted?: boolean },
  ): Promise<void> | undefined {
    this.#sequence++;
    const timeMs = this.#modules.clock.wallMs();
    const line = lineOf({ timeMs, sequence: this.#sequence, member: this.#member });
    return this.#modules.log.add(line, options);
  }
}

interface EndedCall {
  readonly row: AuditRow<unknown>;
  /** Undefined where none came. */
  readonly request: unknown;
  readonly status: Status;
  readonly leaseKeys?: readonly Uint8Array[];
}

function subjectOf(
  row: AuditRow<unknown>,
  request: unknown,
  leaseKeys: readonly Uint8Array[],
): Subject {
  if (request === undefined) return { kind: row.kind };
  const described = row.describe(request);
  const deleted = leaseKeys.map((key) => ({ op: 'write', key, rangeEnd: none }) as const);
  const ranges = [...(described.ranges ?? []), ...deleted];
  return { kind: row.kind, ...described, ranges };
}

/** A call under way: what the service sees of it, and what is kept of it. */
class Recorded {
  readonly startedMs: number;
  readonly context: CallContext;
  user: string | undefined;
  readonly #call: string;

  constructor(path: string, context: CallContext, startedMs: number) {
    this.startedMs = startedMs;
    this.#call = path.slice(1);
    this.context = {
      header: (name) => context.header(name),
      // Where the client was is known also when it has gone.
      remoteAddress: context.remoteAddress,
      commonName: context.commonName,
      isOfGateway: context.isOfGateway === true,
      isOver: () => context.isOver?.() === true,
      identified: (username) => {
        this.user = username;
        context.identified?.(username);
      },
    };
  }

  get facts(): Pick<AuditedCall, 'call' | 'from' | 'certificate' | 'via'> {
    const { remoteAddress, commonName } = this.context;
    const via = this.context.isOfGateway === true ? 'gateway' : 'grpc';
    return { call: this.#call, from: remoteAddress, certificate: commonName, via };
  }
}

/** A stream is written down when it ends, or request by request as they are answered, in order. */
class AuditedStream {
  readonly #row: AuditRow<unknown>;
  readonly #record: Recorded;
  readonly #over: (request: unknown, status: Status) => void;
  /** Requests that wait for their answer, or for the end. */
  readonly #waiting: unknown[] = [];
  #hasRequests = false;
  #isEnded = false;

  constructor(
    row: AuditRow<unknown>,
    record: Recorded,
    over: (request: unknown, status: Status) => void,
  ) {
    this.#row = row;
    this.#record = record;
    this.#over = over;
  }

  get context(): CallContext {
    return this.#record.context;
  }

  responses(responses: Responses<unknown>): Responses<unknown> {
    return {
      send: (response) => {
        if (this.#row.time === 'each') this.#answered(response);
        return responses.send(response);
      },
      end: () => {
        this.ended(ok);
        responses.end();
      },
      fail: (error) => {
        this.ended(toStatus(error));
        responses.fail(error);
      },
    };
  }

  requests(requests: Requests<unknown>, admit: () => Promise<void> | undefined): Requests<unknown> {
    return {
      next: (request) => {
        const admitted = admit();
        if (admitted === undefined) return this.#next(requests, request);
        return admitted.then(() => {
          // Its client may be gone meanwhile.
          if (!this.#isEnded) return this.#next(requests, request);
        });
      },
      halfClosed: () => requests.halfClosed(),
      drained: () => requests.drained(),
      closed: () => {
        this.ended(gone);
        requests.closed();
      },
    };
  }

  /** What was not answered has ended so; a stream without any request is told of when it was refused. */
  ended(status: Status): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const request of this.#waiting.splice(0)) this.#over(request, status);
    if (!this.#hasRequests && status.code !== GrpcCode.OK && status !== gone) {
      this.#over(undefined, status);
    }
  }

  #next(requests: Requests<unknown>, request: unknown): void | Promise<void> {
    if (isAsked(request)) {
      this.#hasRequests = true;
      this.#waiting.push(request);
    }
    try {
      const done = requests.next(request);
      done?.catch((error: unknown) => this.ended(toStatus(error)));
      return done;
    } catch (error) {
      this.ended(toStatus(error));
      throw error;
    }
  }

  #answered(response: unknown): void {
    const status = outcomeOf(response);
    if (status === undefined || this.#waiting.length === 0) return;
    this.#over(this.#waiting.shift(), status);
  }
}

/** Of a watch's requests only those that ask for keys. */
function isAsked(request: unknown): boolean {
  if (typeof request !== 'object' || request === null || !('requestUnion' in request)) return true;
  const { requestUnion } = request as { requestUnion?: { kind: string } };
  return requestUnion?.kind === 'createRequest';
}

/** What a response says of the request that it answers; undefined when it answers none. */
function outcomeOf(response: unknown): Status | undefined {
  if (typeof response !== 'object' || response === null || !('created' in response)) return ok;
  const { created, canceled, cancelReason } = response as WatchResponse;
  if (!created) return undefined;
  return canceled ? { code: codeOf(cancelReason), message: cancelReason } : ok;
}

/** A refused watch tells its reason in Go's words. */
function codeOf(reason: string): GrpcCode {
  const denied = refusals.find((text) => reason.includes(text));
  if (denied === statusOf('PermissionDenied').message) return GrpcCode.PERMISSION_DENIED;
  if (denied === statusOf('InvalidAuthToken').message) return GrpcCode.UNAUTHENTICATED;
  return denied === undefined ? GrpcCode.CANCELLED : GrpcCode.INVALID_ARGUMENT;
}
