import { Buffer } from 'node:buffer';
import type { KeyValue } from './gen/kv.ts';
import {
  DeleteRangeResponse,
  RangeResponse,
  type ResponseOp,
  ResponseOp as ResponseOpType,
  TxnResponse,
} from './gen/rpc.ts';
import type { MessageType } from './wire.ts';
import { sizeOfUint32, Writer } from './wire.ts';

/** What is encoded before others have their turn: so many bytes, a key counting as some itself. */
const stepBytesMax = 512 * 1024;
const bytesOfKey = 1024;

/**
 * How a long answer is encoded, in steps between which others may run: the buffers, one behind the other, are the bytes of
 * `type.encode(message)`. The message must not change meanwhile. Undefined for one that is not long.
 */
export function encodingSteps<T>(
  type: MessageType<T>,
  message: T,
): Generator<void, Buffer[]> | undefined {
  const form = forms.get(type) as Form<T> | undefined;
  if (form === undefined || form.weigh(message) < stepBytesMax) return undefined;
  return form.steps(message);
}

/** A message with a list that may be long. */
interface Form<T> {
  /** About its bytes, once there are so many that it is long. */
  weigh(message: T): number;
  steps(message: T): Generator<void, Buffer[]>;
}

const rangeForm: Form<RangeResponse> = {
  weigh: ({ kvs }) => weightOf(kvs),
  *steps({ header, kvs, more, count }) {
    const list = (part: KeyValue[]) => RangeResponse.encode(RangeResponse.create({ kvs: part }));
    return [
      RangeResponse.encode(RangeResponse.create({ header })),
      ...(yield* listSteps(kvs, list)),
      RangeResponse.encode(RangeResponse.create({ more, count })),
    ];
  },
};

const deleteRangeForm: Form<DeleteRangeResponse> = {
  weigh: ({ prevKvs }) => weightOf(prevKvs),
  *steps({ header, deleted, prevKvs }) {
    const list = (part: KeyValue[]) =>
      DeleteRangeResponse.encode(DeleteRangeResponse.create({ prevKvs: part }));
    return [
      DeleteRangeResponse.encode(DeleteRangeResponse.create({ header, deleted })),
      ...(yield* listSteps(prevKvs, list)),
    ];
  },
};

const txnForm: Form<TxnResponse> = {
  weigh: ({ responses }) => {
    let weight = 0;
    for (const op of responses) {
      weight += weightOfOp(op);
      if (weight >= stepBytesMax) break;
    }
    return weight;
  },
  *steps({ header, succeeded, responses }) {
    const buffers = [TxnResponse.encode(TxnResponse.create({ header, succeeded }))];
    let weight = 0;
    for (const op of responses) {
      const parts = yield* opSteps(op);
      buffers.push(lengthPrefix(tags.responses, parts), ...parts);
      weight += weightOfOp(op);
      if (weight < stepBytesMax) continue;
      weight = 0;
      yield;
    }
    return buffers;
  },
};

const forms: ReadonlyMap<object, Form<never>> = new Map<object, Form<never>>([
  [RangeResponse, rangeForm],
  [DeleteRangeResponse, deleteRangeForm],
  [TxnResponse, txnForm],
]);

/** Of `etcdserverpb.TxnResponse` and `ResponseOp`. */
const tags = {
  responses: 26,
  responseRange: 10,
  responseDeleteRange: 26,
  responseTxn: 34,
} as const;

function* opSteps(op: ResponseOp): Generator<void, Buffer[]> {
  const { response } = op;
  if (weightOfOp(op) < stepBytesMax) return [ResponseOpType.encode(op)];
  switch (response?.kind) {
    case 'responseRange':
      return prefixed(tags.responseRange, yield* rangeForm.steps(response.value));
    case 'responseDeleteRange':
      return prefixed(tags.responseDeleteRange, yield* deleteRangeForm.steps(response.value));
    case 'responseTxn':
      return prefixed(tags.responseTxn, yield* txnForm.steps(response.value));
    default:
      return [ResponseOpType.encode(op)];
  }
}

function weightOfOp({ response }: ResponseOp): number {
  switch (response?.kind) {
    case 'responseRange':
      return rangeForm.weigh(response.value);
    case 'responseDeleteRange':
      return deleteRangeForm.weigh(response.value);
    case 'responseTxn':
      return txnForm.weigh(response.value);
    default:
      return bytesOfKey;
  }
}

function* listSteps(
  kvs: readonly KeyValue[],
  encode: (part: KeyValue[]) => Buffer,
): Generator<void, Buffer[]> {
  const buffers: Buffer[] = [];
  let from = 0;
  let weight = 0;
  for (const [at, kv] of kvs.entries()) {
    weight += bytesOfKey + kv.value.length;
    if (weight < stepBytesMax) continue;
    buffers.push(encode(kvs.slice(from, at + 1)));
    from = at + 1;
    weight = 0;
    yield;
  }
  buffers.push(encode(kvs.slice(from)));
  return buffers;
}

function weightOf(kvs: readonly KeyValue[]): number {
  let weight = 0;
  for (const { value } of kvs) {
    weight += bytesOfKey + value.length;
    if (weight >= stepBytesMax) break;
  }
  return weight;
}

function prefixed(tag: number, parts: readonly Buffer[]): Buffer[] {
  return [lengthPrefix(tag, parts), ...parts];
}

function lengthPrefix(tag: number, parts: readonly Buffer[]): Buffer {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const writer = new Writer(1 + sizeOfUint32(size));
  writer.byte(tag);
  writer.uint32(size);
  return writer.bytes;
}
