import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { ApiError, badRequest } from '../errors.ts';
import type { KubeObject } from '../objects.ts';

const chunkBytes = 64 * 1024;
const followIntervalMs = 200;

export interface LogSource {
  /** File of the container's present (or previous) run, where there is one. */
  readonly file: (container: string, isPrevious: boolean) => string | undefined;
  /** Whether the pod still runs: a followed log ends with it. */
  readonly isLive: () => boolean;
}

/** GET pods/NAME/log: container, previous, tailLines, limitBytes, follow. Timestamps are not kept, so cannot be shown. */
export function sendLog(
  pod: KubeObject,
  source: LogSource | undefined,
  query: URLSearchParams,
  response: ServerResponse,
): void {
  for (const name of ['timestamps', 'sinceSeconds', 'sinceTime']) {
    const value = query.get(name);
    if (value !== null && value !== 'false')
      throw new ApiError(501, 'NotImplemented', `localkube does not implement ${name} of logs`);
  }
  const container = query.get('container') ?? '';
  const file = source?.file(container, query.get('previous') === 'true');
  if (source === undefined || file === undefined || !existsSync(file)) {
    throw badRequest(
      `container "${container}" in pod "${pod.metadata.name}" is waiting to start: ContainerCreating`,
    );
  }
  response.writeHead(200, { 'Content-Type': 'text/plain' });
  const tail = query.get('tailLines');
  let position = tail === null ? 0 : tailStart(file, Number(tail));
  const limit = position + Number(query.get('limitBytes') ?? Number.POSITIVE_INFINITY);
  const copy = () => {
    position = copyRange(file, position, Math.min(limit, statSync(file).size), response);
  };
  copy();
  if (query.get('follow') !== 'true') {
    response.end();
    return;
  }
  const timer = setInterval(() => {
    if (existsSync(file)) copy();
    if (!existsSync(file) || !source.isLive()) response.end();
  }, followIntervalMs);
  response.on('close', () => clearInterval(timer));
}

function copyRange(file: string, start: number, end: number, response: ServerResponse): number {
  const descriptor = openSync(file, 'r');
  let position = start;
  while (position < end) {
    const buffer = Buffer.alloc(Math.min(chunkBytes, end - position));
    const count = readSync(descriptor, buffer, 0, buffer.length, position);
    if (count === 0) break;
    response.write(buffer.subarray(0, count));
    position += count;
  }
  closeSync(descriptor);
  return position;
}

/** Where the last lines of a file begin. */
function tailStart(file: string, lines: number): number {
  const { size } = statSync(file);
  const descriptor = openSync(file, 'r');
  let position = size;
  let found = 0;
  while (position > 0) {
    const start = Math.max(0, position - chunkBytes);
    const buffer = Buffer.alloc(position - start);
    readSync(descriptor, buffer, 0, buffer.length, start);
    for (let index = buffer.length - 1; index >= 0; index -= 1) {
      const isLineEnd = buffer[index] === 10 && start + index !== size - 1;
      if (isLineEnd) found += 1;
      if (found === lines && isLineEnd) {
        closeSync(descriptor);
        return start + index + 1;
      }
    }
    position = start;
  }
  closeSync(descriptor);
  return lines === 0 ? size : 0;
}
