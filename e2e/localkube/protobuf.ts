import { notImplemented, unsupportedMediaType } from './errors.ts';
import type { JsonObject } from './objects.ts';

/**
 * Decodes the protobuf bodies that kubectl sends since 1.36 for `create configmap | secret | namespace | serviceaccount | pdb`
 * and for DeleteOptions and evictions. Other kinds come as 501: nothing is dropped unseen. Answers are always JSON, which
 * clients accept.
 */
interface Field {
  readonly name: string;
  readonly type: 'string' | 'bytes' | 'int' | 'bool' | 'time' | 'intOrString' | string;
  readonly form?: 'list' | 'map';
}

type Message = Readonly<Record<number, Field>>;

const field = (name: string, type: Field['type'], form?: Field['form']): Field =>
  form === undefined ? { name, type } : { name, type, form };

/** Field numbers of k8s.io/api and apimachinery (generated.proto). */
const messages: Readonly<Record<string, Message>> = {
  Unknown: {
    1: field('typeMeta', 'TypeMeta'),
    2: field('raw', 'raw'),
    3: field('contentEncoding', 'string'),
    4: field('contentType', 'string'),
  },
  TypeMeta: { 1: field('apiVersion', 'string'), 2: field('kind', 'string') },
  ObjectMeta: {
    1: field('name', 'string'),
    2: field('generateName', 'string'),
    3: field('namespace', 'string'),
    4: field('selfLink', 'string'),
    5: field('uid', 'string'),
    6: field('resourceVersion', 'string'),
    7: field('generation', 'int'),
    8: field('creationTimestamp', 'time'),
    9: field('deletionTimestamp', 'time'),
    10: field('deletionGracePeriodSeconds', 'int'),
    11: field('labels', 'string', 'map'),
    12: field('annotations', 'string', 'map'),
    14: field('finalizers', 'string', 'list'),
  },
  Namespace: {
    1: field('metadata', 'ObjectMeta'),
    2: field('spec', 'NamespaceSpec'),
    3: field('status', 'NamespaceStatus'),
  },
  NamespaceSpec: { 1: field('finalizers', 'string', 'list') },
  NamespaceStatus: { 1: field('phase', 'string') },
  ConfigMap: {
    1: field('metadata', 'ObjectMeta'),
    2: field('data', 'string', 'map'),
    3: field('binaryData', 'bytes', 'map'),
    4: field('immutable', 'bool'),
  },
  Secret: {
    1: field('metadata', 'ObjectMeta'),
    2: field('data', 'bytes', 'map'),
    3: field('type', 'string'),
    4: field('stringData', 'string', 'map'),
    5: field('immutable', 'bool'),
  },
  ServiceAccount: {
    1: field('metadata', 'ObjectMeta'),
    4: field('automountServiceAccountToken', 'bool'),
  },
  PodDisruptionBudget: {
    1: field('metadata', 'ObjectMeta'),
    2: field('spec', 'PodDisruptionBudgetSpec'),
    3: field('status', 'PodDisruptionBudgetStatus'),
  },
  PodDisruptionBudgetSpec: {
    1: field('minAvailable', 'intOrString'),
    2: field('selector', 'LabelSelector'),
    3: field('maxUnavailable', 'intOrString'),
  },
  PodDisruptionBudgetStatus: {
    1: field('observedGeneration', 'int'),
    3: field('disruptionsAllowed', 'int'),
    4: field('currentHealthy', 'int'),
    5: field('desiredHealthy', 'int'),
    6: field('expectedPods', 'int'),
  },
  LabelSelector: { 1: field('matchLabels', 'string', 'map') },
  Eviction: { 1: field('metadata', 'ObjectMeta'), 2: field('deleteOptions', 'DeleteOptions') },
  DeleteOptions: {
    1: field('gracePeriodSeconds', 'int'),
    2: field('preconditions', 'Preconditions'),
    4: field('propagationPolicy', 'string'),
    5: field('dryRun', 'string', 'list'),
  },
  Preconditions: { 1: field('uid', 'string'), 2: field('resourceVersion', 'string') },
  IntOrString: { 1: field('type', 'int'), 2: field('intVal', 'int'), 3: field('strVal', 'string') },
};

const magic = Buffer.from('k8s\0');

/** The object in a `application/vnd.kubernetes.protobuf` body. */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, magic.length).equals(magic)) {
    throw unsupportedMediaType(['application/json', 'application/yaml']);
  }
  const envelope = decodeMessage('Unknown', body.subarray(magic.length));
  const { apiVersion, kind } = envelope['typeMeta'] as JsonObject;
  if (messages[String(kind)] === undefined)
    throw notImplemented(`protobuf bodies of kind ${String(kind)}`);
  return { apiVersion, kind, ...decodeMessage(String(kind), envelope['raw'] as Buffer) };
}

function decodeMessage(name: string, bytes: Buffer): JsonObject {
  const message = messages[name];
  if (message === undefined) throw notImplemented(`the protobuf message ${name}`);
  const result: JsonObject = {};
  let position = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[position] ?? 0;
      position += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (position < bytes.length) {
    const tag = Number(varint());
    const known = message[tag >> 3];
    if (known === undefined)
      throw notImplemented(`field ${tag >> 3} of the protobuf message ${name}`);
    if ((tag & 7) === 0) {
      const value = BigInt.asIntN(64, varint());
      result[known.name] = known.type === 'bool' ? value !== 0n : Number(value);
      continue;
    }
    if ((tag & 7) !== 2) throw notImplemented(`the protobuf wire type ${tag & 7}`);
    const length = Number(varint());
    addValue(result, known, bytes.subarray(position, position + length));
    position += length;
  }
  return result;
}

function addValue(result: JsonObject, { name, type, form }: Field, bytes: Buffer): void {
  if (form === 'map') {
    const entry = decodeEntry(bytes, type);
    result[name] = { ...(result[name] as JsonObject | undefined), [entry.key]: entry.value };
  } else if (form === 'list') {
    result[name] = [...((result[name] as unknown[] | undefined) ?? []), decodeValue(type, bytes)];
  } else {
    const value = decodeValue(type, bytes);
    if (value !== undefined && value !== '') result[name] = value;
  }
}

function decodeEntry(bytes: Buffer, type: string): { key: string; value: unknown } {
  const keyEnd = 2 + (bytes[1] ?? 0);
  const key = bytes.subarray(2, keyEnd).toString('utf8');
  let [position, length, shift] = [keyEnd + 1, 0, 0];
  for (; ; shift += 7) {
    const byte = bytes[position] ?? 0;
    position += 1;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  return { key, value: decodeValue(type, bytes.subarray(position, position + length)) ?? '' };
}

function decodeValue(type: string, bytes: Buffer): unknown {
  switch (type) {
    case 'string':
      return bytes.toString('utf8');
    case 'bytes':
      return bytes.toString('base64');
    case 'raw':
      return bytes;
    case 'time':
      return undefined;
    case 'intOrString': {
      const { type: kind, intVal = 0, strVal } = decodeMessage('IntOrString', bytes);
      return kind === 1 ? strVal : intVal;
    }
    default:
      return decodeMessage(type, bytes);
  }
}
