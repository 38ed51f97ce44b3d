import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type LocalKube, startLocalKube } from '../../e2e/localkube/local-kube.ts';
import type { JsonObject } from '../../e2e/localkube/objects.ts';
import { silentLogger } from '../../server/base/logger.ts';

const cleanups = new WeakMap<TestContext, (() => unknown)[]>();

/** As context.after, but the last comes first: what was started last ends before what it stands on. */
export function atEnd(context: TestContext, cleanup: () => unknown): void {
  const known = cleanups.get(context);
  if (known !== undefined) {
    known.push(cleanup);
    return;
  }
  const list = [cleanup];
  cleanups.set(context, list);
  context.after(async () => {
    for (const each of list.toReversed()) await each();
  });
}

export function temporaryDirectory(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'localkube-'));
  atEnd(context, () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** An API server without a kubelet, that stops with the test. */
export async function startKube(context: TestContext, dataDirectory?: string): Promise<LocalKube> {
  const kube = await startLocalKube({
    dataDirectory: dataDirectory ?? temporaryDirectory(context),
    logger: silentLogger,
    hasKubelet: false,
  });
  atEnd(context, () => kube.stop());
  return kube;
}

export interface Reply {
  readonly code: number;
  readonly body: JsonObject;
}

/** One request with a JSON answer. */
export async function call(
  kube: LocalKube,
  method: string,
  path: string,
  body?: unknown,
  mediaType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
): Promise<Reply> {
  const response = await fetch(kube.url + path, {
    method,
    headers: { 'Content-Type': mediaType, 'User-Agent': 'test/1' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { code: response.status, body: (await response.json()) as JsonObject };
}

/** Waits until a probe returns something; fails after the deadline. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  deadlineMs = 10_000,
): Promise<T> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`not in ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export interface WatchedEvent {
  readonly type: string;
  readonly object: JsonObject;
}

/** Follows a watch; `events` grows while it is open. */
export function openWatch(
  kube: LocalKube,
  path: string,
): { events: WatchedEvent[]; closed: Promise<void>; close: () => void } {
  const events: WatchedEvent[] = [];
  const controller = new AbortController();
  const closed = (async () => {
    try {
      const response = await fetch(kube.url + path, { signal: controller.signal });
      let rest = '';
      for await (const chunk of response.body ?? []) {
        const lines = (rest + Buffer.from(chunk as Uint8Array).toString('utf8')).split('\n');
        rest = lines.pop() ?? '';
        events.push(...lines.map((line) => JSON.parse(line) as WatchedEvent));
      }
    } catch {
      // Aborted by close(), or cut by a fault: both end the watch.
    }
  })();
  return { events, closed, close: () => controller.abort() };
}
