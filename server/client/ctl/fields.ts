import { Buffer } from 'node:buffer';
import { EventType, type KeyValue } from '../../proto/gen/kv.ts';
import {
  type DeleteRangeResponse,
  type PutResponse,
  type RangeResponse,
  ResponseHeader,
  type ResponseOp,
  type TxnResponse,
} from '../../proto/gen/rpc.ts';
import type { WatchBatch } from '../watch.ts';
import { goQuoted } from './etcd-json.ts';

// One line for each field, as `etcdctl -w fields` prints them.

export type Field = readonly [name: string, value: string | number | bigint | boolean];

/** Stands behind each item of a list, as an empty line. */
export const itemEnd: Field = ['', ''];

export function fieldLines(fields: readonly Field[]): string {
  const line = ([name, value]: Field) => (name === '' ? '\n' : `"${name}" : ${value}\n`);
  return fields.map(line).join('');
}

export function quotedText(text: string): string {
  return goQuoted(Buffer.from(text));
}

export function headerFields(header: ResponseHeader | undefined): Field[] {
  const { clusterId, memberId, revision, raftTerm } = header ?? ResponseHeader.create();
  return [
    ['ClusterID', clusterId],
    ['MemberID', memberId],
    ['Revision', revision],
    ['RaftTerm', raftTerm],
  ];
}

export function kvFieldList(kv: KeyValue, prefix = ''): Field[] {
  return [
    [`${prefix}Key`, goQuoted(kv.key)],
    [`${prefix}CreateRevision`, kv.createRevision],
    [`${prefix}ModRevision`, kv.modRevision],
    [`${prefix}Version`, kv.version],
    [`${prefix}Value`, goQuoted(kv.value)],
    [`${prefix}Lease`, kv.lease],
  ];
}

export function putFields({ header, prevKv }: PutResponse): Field[] {
  return [...headerFields(header), ...(prevKv === undefined ? [] : kvFieldList(prevKv, 'Prev'))];
}

export function rangeFields({ header, kvs, more, count }: RangeResponse): Field[] {
  return [
    ...headerFields(header),
    ...kvs.flatMap((kv) => kvFieldList(kv)),
    ['More', more],
    ['Count', count],
  ];
}

export function deleteFields({ header, deleted, prevKvs }: DeleteRangeResponse): Field[] {
  const before = prevKvs.flatMap((kv) => kvFieldList(kv, 'Prev'));
  return [...headerFields(header), ['Deleted', deleted], ...before];
}

export function txnFields({ header, succeeded, responses }: TxnResponse): Field[] {
  return [...headerFields(header), ['Succeeded', succeeded], ...responses.flatMap(opFields)];
}

function opFields({ response }: ResponseOp): Field[] {
  switch (response?.kind) {
    case 'responsePut':
      return putFields(response.value);
    case 'responseRange':
      return rangeFields(response.value);
    case 'responseDeleteRange':
      return deleteFields(response.value);
    case 'responseTxn':
      return txnFields(response.value);
    case undefined:
      return [];
  }
}

export function watchFields({ header, events }: WatchBatch): Field[] {
  return [
    ...headerFields(header),
    ...events.flatMap(({ type, kv, prevKv }): Field[] => [
      ['Type', type === EventType.PUT ? 'PUT' : 'DELETE'],
      ...(prevKv === undefined ? [] : kvFieldList(prevKv, 'Prev')),
      ...kvFieldList(kv),
    ]),
  ];
}
