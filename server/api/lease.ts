import type { Caller } from '../auth/access.ts';
import {
  Lease,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseRevokeRequest,
  type LeaseRevokeResponse,
  type LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
} from '../proto/gen/rpc.ts';
import type { Call, Requests, Responses } from './call.ts';
import type { Gate } from './gate.ts';
import { answered, header } from './header.ts';
import type { MemberPort } from './member-port.ts';
import { needSpace } from './space.ts';

export function leaseCalls(modules: { port: MemberPort; gate: Gate }): Call[] {
  const { port, gate } = modules;
  const { methods } = Lease;
  return [
    gate.unary(methods.leaseGrant, 'refuses', (request, _, caller) => grant(port, request, caller)),
    gate.unary(methods.leaseRevoke, 'refuses', (request, _, caller) =>
      revoke(port, request, caller),
    ),
    gate.unary(methods.leaseTimeToLive, 'observes', (request) => timeToLive(port, request), {
      first: ({ keys }) => (keys ? port.linearizableRead() : undefined),
    }),
    gate.unary(methods.leaseLeases, 'observes', () => leases(port)),
    gate.stream(
      methods.leaseKeepAlive,
      'refuses',
      (responses) => keepAlive(port, responses),
      // The keys of a lease decide who may renew it.
      { first: () => (port.auth.isEnabled ? port.linearizableRead() : undefined) },
    ),
  ];
}

async function grant(
  port: MemberPort,
  request: LeaseGrantRequest,
  caller: Caller,
): Promise<LeaseGrantResponse> {
  const value = request.ID === 0n ? { ...request, ID: port.newLeaseId() } : request;
  const proposal = { kind: 'leaseGrant', value } as const;
  await needSpace(port, proposal);
  return answered(port, await port.propose(proposal, caller));
}

async function revoke(
  port: MemberPort,
  request: LeaseRevokeRequest,
  caller: Caller,
): Promise<LeaseRevokeResponse> {
  const value = { id: request.ID, term: 0 };
  return answered(port, await port.propose({ kind: 'leaseRevoke', value }, caller));
}

async function timeToLive(
  port: MemberPort,
  request: LeaseTimeToLiveRequest,
): Promise<LeaseTimeToLiveResponse> {
  const { ttl, grantedTtl } = await port.leaseTimeToLive(request.ID);
  return {
    header: header(port, port.revision()),
    ID: request.ID,
    TTL: ttl,
    grantedTTL: grantedTtl,
    keys: request.keys && ttl >= 0 ? port.leaseKeys(request.ID) : [],
  };
}

async function leases(port: MemberPort): Promise<LeaseLeasesResponse> {
  return {
    header: header(port, port.revision()),
    leases: port.leases().map((ID) => ({ ID })),
  };
}

/** Answers one request after the other; a lease that is not there has TTL 0. */
function keepAlive(
  port: MemberPort,
  responses: Responses<LeaseKeepAliveResponse>,
): Requests<LeaseKeepAliveRequest> {
  const drain = new Drain();
  return {
    async next(request) {
      const revision = port.revision();
      const TTL = await port.renewLease(request.ID);
      const hasRoom = responses.send({ header: header(port, revision), ID: request.ID, TTL });
      if (!hasRoom) await drain.wait();
    },
    halfClosed() {
      responses.end();
    },
    drained() {
      drain.done();
    },
    closed() {
      drain.done();
    },
  };
}

/** Holds back the next request while the client does not read its answers. */
class Drain {
  #resolve: (() => void) | undefined;

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  done(): void {
    this.#resolve?.();
    this.#resolve = undefined;
  }
}
