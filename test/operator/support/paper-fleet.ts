import type { KubeObject } from '../../../operator/api/objects.ts';
import type { HttpKubeClient } from '../../../operator/kube/client.ts';
import { collectionPath, type Kind, objectPath } from '../../../operator/kube/paths.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { Member } from '../../../server/proto/gen/internal.ts';
import { AlarmResponse } from '../../../server/proto/gen/rpc.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { FakeMember } from '../../server/api/fake-member.ts';
import { Pass } from '../sim/operator.ts';
import { World } from '../sim/world.ts';
import type { FakeStore } from './fake-store.ts';

/** A StoreCluster that has converged, with all that belongs to it, as it would be copied to another name. */
export interface Template {
  readonly objects: readonly KubeObject[];
  readonly store: FakeStore;
}

const templateName = 'demo';

/** Made by the operator itself, in memory. */
export async function convergedTemplate(replicas: number): Promise<Template> {
  const world = new World();
  world.createCluster({ replicas });
  for (let turns = 0; turns < 400 && world.cluster?.status?.ready !== `${replicas}/${replicas}`; ) {
    await new Pass(world).done;
    world.turn();
    turns += 1;
  }
  for (let turns = 0; turns < 20; turns += 1) await new Pass(world).done;
  const store = world.store();
  if (store === undefined || world.cluster?.status?.plan?.decision !== 'Idle') {
    throw new Error('the template has not converged');
  }
  const objects = world.kube.all().filter(({ kind }) => kind !== 'Event' && kind !== 'Node');
  return { objects, store };
}

/** Puts a copy of the template under another name into an API server, its pods at these addresses. */
export async function placeCluster(
  kube: HttpKubeClient,
  { objects }: Template,
  { name, addresses, nodes }: Place,
): Promise<void> {
  const own = objects.find(({ kind }) => kind === 'StoreCluster');
  if (own === undefined) throw new Error('no StoreCluster in the template');
  const uid = await placeOwner(kube, renamed(own, name, ''));
  let pods = 0;
  for (const object of objects) {
    if (object === own) continue;
    const copy = renamed(object, name, uid, own.metadata.uid);
    const path = collectionPath(copy.kind as Kind, 'default');
    if (copy.kind !== 'Pod') {
      await kube.create(path, copy);
      continue;
    }
    const { spec, status } = copy as KubeObject & { spec: object; status: object };
    const [podIP, nodeName] = [addresses[pods], nodes[pods]];
    pods += 1;
    await kube.create(path, { ...copy, spec: { ...spec, nodeName } } as KubeObject);
    const at = { namespace: 'default', name: copy.metadata.name };
    await kube.patch(objectPath('Pod', at, 'status'), {
      status: { ...status, podIP, podIPs: [{ ip: podIP }] },
    });
  }
}

export interface Place {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly nodes: readonly string[];
}

/** The uid that it got. */
async function placeOwner(kube: HttpKubeClient, object: KubeObject): Promise<string> {
  const created = await kube.create(collectionPath('StoreCluster', 'default'), object);
  const { status } = object as KubeObject & { status: object };
  const at = { namespace: 'default', name: object.metadata.name };
  const sent = { ...created, status } as KubeObject;
  const { metadata } = await kube.replace(objectPath('StoreCluster', at, 'status'), sent);
  return metadata.uid ?? '';
}

/** The name stands in many places: in names, labels, selectors, flags and tokens. */
function renamed(object: KubeObject, name: string, uid: string, oldUid = ''): KubeObject {
  const {
    uid: _uid,
    resourceVersion: _version,
    generation: _generation,
    ...metadata
  } = object.metadata;
  const text = JSON.stringify({ ...object, metadata })
    .replaceAll(templateName, name)
    .replaceAll(new RegExp(`\\b${oldUid === '' ? 'no uid' : oldUid}\\b`, 'g'), uid);
  const copy = JSON.parse(text) as KubeObject & { data?: Readonly<Record<string, string>> };
  if (copy.kind !== 'Secret' || copy.data === undefined) return copy;
  const entries = Object.entries(copy.data).map(([key, value]) => {
    const contents = Buffer.from(value, 'base64').toString().replaceAll(templateName, name);
    return [key, Buffer.from(contents).toString('base64')];
  });
  return { ...copy, data: Object.fromEntries(entries) } as KubeObject;
}

class PaperMember extends FakeMember {
  override readonly clusterId: 0xc1n;
  override readonly memberId: 0xa1n;

  constructor(ids: { readonly clusterId: bigint; readonly memberId: bigint }) {
    super();
    // What a member's id is, is of no interest to the tests that the fake one was made for.
    this.clusterId = ids.clusterId as 0xc1n;
    this.memberId = ids.memberId as 0xa1n;
  }
}

/** Members that answer over gRPC what the operator asks of a store that is well; one for each address. */
export async function serveMembers(
  { store }: Template,
  { name, addresses }: Place,
): Promise<readonly ClientListener[]> {
  const idOf = (hex: string) => BigInt(`0x${hex}`);
  const members = store.members.map(({ id, name: member, peerUrl }) =>
    Member.create({
      id: idOf(id),
      name: member.replace(templateName, name),
      peerUrls: [peerUrl.replaceAll(templateName, name)],
    }),
  );
  return Promise.all(
    addresses.map((address, at) => {
      const memberId = members[at]?.id ?? 0n;
      const member = new PaperMember({ clusterId: idOf(store.clusterId), memberId });
      const leader = idOf(store.leaderId);
      member.memberList = members;
      member.answer = () => ({ response: AlarmResponse.create(), revision: 5 });
      member.raft = { ...member.raft, leader, isLeader: leader === memberId };
      const listenClientUrls = [`http://${address}:2379`];
      const config = { listenClientUrls, requestBytesMax: 1_572_864, txnOpsMax: 128 };
      return ClientListener.open({ port: member, logger: silentLogger }, config);
    }),
  );
}
