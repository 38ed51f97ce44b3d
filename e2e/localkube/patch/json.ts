import { clone, equal, isObject } from '../objects.ts';

/** A JSON patch that cannot be applied (RFC 6902). */
class JsonPatchError extends Error {
  override name = 'JsonPatchError';
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}

/** Applies a JSON patch to a document and returns the new one. */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new JsonPatchError('a JSON patch is a list');
  const holder: { root: unknown } = { root: clone(document) };
  for (const operation of patch) applyOperation(holder, asOperation(operation));
  return holder.root;
}

function asOperation(value: unknown): Operation {
  if (!isObject(value) || typeof value['op'] !== 'string' || typeof value['path'] !== 'string') {
    throw new JsonPatchError('an operation needs op and path');
  }
  return value as unknown as Operation;
}

function applyOperation(holder: { root: unknown }, { op, path, from, value }: Operation): void {
  switch (op) {
    case 'add':
      return add(holder, path, clone(value));
    case 'remove':
      return remove(holder, path);
    case 'replace':
      read(holder.root, path);
      return write(holder, path, clone(value));
    case 'move': {
      const moved = read(holder.root, from ?? '');
      remove(holder, from ?? '');
      return add(holder, path, moved);
    }
    case 'copy':
      return add(holder, path, clone(read(holder.root, from ?? '')));
    case 'test':
      if (!equal(read(holder.root, path), value))
        throw new JsonPatchError(`test of ${path} failed`);
      return;
    default:
      throw new JsonPatchError(`unknown operation ${op}`);
  }
}

function tokens(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/')) throw new JsonPatchError(`${path} is no JSON pointer`);
  return path
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function read(document: unknown, path: string): unknown {
  return tokens(path).reduce((current, token) => step(current, token), document);
}

function step(container: unknown, token: string): unknown {
  if (Array.isArray(container)) {
    const position = arrayPosition(token, container.length - 1);
    return container[position] as unknown;
  }
  if (isObject(container) && Object.hasOwn(container, token)) return container[token];
  throw new JsonPatchError(`${token} is not there`);
}

function arrayPosition(token: string, max: number): number {
  if (!/^(0|[1-9]\d*)$/.test(token)) throw new JsonPatchError(`${token} is no array index`);
  const position = Number(token);
  if (position > max) throw new JsonPatchError(`index ${token} is out of range`);
  return position;
}

function parentOf(root: unknown, path: string): { container: unknown; token: string } {
  const all = tokens(path);
  const token = all.pop() ?? '';
  return { container: all.reduce(step, root), token };
}

function add(holder: { root: unknown }, path: string, value: unknown): void {
  if (path === '') {
    holder.root = value;
    return;
  }
  const { container, token } = parentOf(holder.root, path);
  if (Array.isArray(container)) {
    const position = token === '-' ? container.length : arrayPosition(token, container.length);
    container.splice(position, 0, value);
  } else if (isObject(container)) {
    container[token] = value;
  } else {
    throw new JsonPatchError(`${path} is inside a scalar`);
  }
}

function write(holder: { root: unknown }, path: string, value: unknown): void {
  if (path === '') {
    holder.root = value;
    return;
  }
  const { container, token } = parentOf(holder.root, path);
  if (Array.isArray(container)) container[Number(token)] = value;
  else if (isObject(container)) container[token] = value;
}

function remove(holder: { root: unknown }, path: string): void {
  const { container, token } = parentOf(holder.root, path);
  if (Array.isArray(container)) {
    container.splice(arrayPosition(token, container.length - 1), 1);
  } else if (isObject(container) && Object.hasOwn(container, token)) {
    delete container[token];
  } else {
    throw new JsonPatchError(`${path} is not there`);
  }
}
