import { EtcdError } from '../base/errors.ts';
import { memberUrls, UrlError } from '../config/urls.ts';
import type { Member as StoredMember } from '../proto/gen/internal.ts';
import {
  Cluster,
  type Member,
  type MemberAddRequest,
  type MemberAddResponse,
  type ResponseHeader,
} from '../proto/gen/rpc.ts';
import type { Call } from './call.ts';
import type { Gate } from './gate.ts';
import { header } from './header.ts';
import type { MemberPort, MembershipChange } from './member-port.ts';

export function clusterCalls(modules: { port: MemberPort; gate: Gate }): Call[] {
  const { port, gate } = modules;
  const { methods } = Cluster;
  return [
    gate.unary(methods.memberAdd, 'refuses', (request) => add(port, request), {
      first: ({ peerURLs }) => void checkedUrls(peerURLs),
    }),
    gate.unary(methods.memberRemove, 'refuses', ({ ID }) =>
      change(port, { kind: 'remove', memberId: ID }),
    ),
    gate.unary(
      methods.memberUpdate,
      'refuses',
      ({ ID, peerURLs }) =>
        change(port, { kind: 'update', memberId: ID, peerUrls: checkedUrls(peerURLs) }),
      { first: ({ peerURLs }) => void checkedUrls(peerURLs) },
    ),
    gate.unary(methods.memberPromote, 'refuses', ({ ID }) =>
      change(port, { kind: 'promote', memberId: ID }),
    ),
    gate.unary(methods.memberList, 'observes', async () => membership(port, port.members()), {
      first: ({ linearizable }) => (linearizable ? port.linearizableRead() : undefined),
    }),
  ];
}

async function add(port: MemberPort, request: MemberAddRequest): Promise<MemberAddResponse> {
  const peerUrls = checkedUrls(request.peerURLs);
  const kind = request.isObserver ? 'addObserver' : request.isLearner ? 'addLearner' : 'addVoter';
  const answer = await change(port, { kind, peerUrls });
  const member = answer.members.find(({ peerURLs }) => peerURLs.join() === peerUrls.join());
  return { ...answer, member };
}

interface Membership {
  header: ResponseHeader;
  members: Member[];
}

async function change(port: MemberPort, wanted: MembershipChange): Promise<Membership> {
  return membership(port, await port.changeMembership(wanted));
}

/** These headers have revision 0. */
function membership(port: MemberPort, members: readonly StoredMember[]): Membership {
  return { header: header(port, 0), members: members.map(toWire) };
}

function toWire(member: StoredMember): Member {
  const { id, name, peerUrls, clientUrls, isLearner, isObserver } = member;
  return { ID: id, name, peerURLs: peerUrls, clientURLs: clientUrls, isLearner, isObserver };
}

function checkedUrls(urls: readonly string[]): string[] {
  try {
    return memberUrls(urls);
  } catch (error) {
    if (error instanceof UrlError) throw new EtcdError('MemberBadUrls', { cause: error });
    throw error;
  }
}
