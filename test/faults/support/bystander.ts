import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../../../server/client/keys.ts';
import { KV } from '../../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../../support/grpc.ts';
import { memoryBytes } from '../../support/process-memory.ts';
import type { MemberProcess } from '../../support/server-process.ts';
import { ok } from './view.ts';

const mebibyte = 1024 * 1024;
const pauseMs = 10;

/** Milliseconds. */
interface Latencies {
  readonly count: number;
  readonly medianMs: number;
  readonly worstMs: number;
}

/** What another client and the member's memory see of an attack. */
export interface Bounds {
  /** What the member may use at most beyond what it used before. */
  readonly growthBytesMax: number;
  /** The longest that the other client may wait for one answer. */
  readonly waitMsMax: number;
}

/** A client that goes on with its work, beside one that means harm: it puts a key and reads it, again and again. */
export class Bystander {
  readonly #member: MemberProcess;
  readonly #channel: GrpcChannel;
  #normal: Latencies | undefined;

  constructor(member: MemberProcess) {
    this.#member = member;
    this.#channel = new GrpcChannel(member.clientUrl);
  }

  /**
   * Runs `attack` and works all the time. The member must be the same process afterwards and answer, in bounds; how it
   * was is printed.
   */
  async during<T>(name: string, bounds: Bounds, attack: () => Promise<T>): Promise<T> {
    this.#normal ??= await this.#work(sleep(700));
    const { pid } = this.#member;
    const before = memoryBytes(this.#member, 'VmRSS');
    forgetPeak(this.#member);
    const attacking = attack();
    const during = await this.#work(attacking);
    const result = await attacking;
    const growth = memoryBytes(this.#member, 'VmHWM') - before;
    console.log(
      `  ${name}: ${mib(before)} MiB, at most ${mib(growth)} more;` +
        ` another client waits ${shown(during)}, otherwise ${shown(this.#normal)}`,
    );
    assert(this.#member.isRunning && this.#member.pid === pid, 'the member is gone');
    await this.#once();
    assert(growth <= bounds.growthBytesMax, `memory grew by ${mib(growth)} MiB`);
    assert(during.worstMs <= bounds.waitMsMax, `another client waited ${during.worstMs} ms`);
    return result;
  }

  close(): void {
    this.#channel.close();
  }

  async #work(until: Promise<unknown>): Promise<Latencies> {
    const latencies: number[] = [];
    let isOver = false;
    const end = until.then(
      () => {
        isOver = true;
      },
      () => {
        isOver = true;
      },
    );
    do {
      const begun = performance.now();
      await this.#once();
      latencies.push(performance.now() - begun);
      await sleep(pauseMs);
    } while (!isOver);
    await end;
    const sorted = latencies.toSorted((a, b) => a - b);
    return {
      count: sorted.length,
      medianMs: sorted[sorted.length >> 1] ?? 0,
      worstMs: sorted.at(-1) ?? 0,
    };
  }

  async #once(): Promise<void> {
    const key = bytesOf('bystander');
    ok(await this.#channel.call(KV.methods.put, { key, value: key }));
    assert.equal(ok(await this.#channel.call(KV.methods.range, { key })).kvs.length, 1);
  }
}

/** VmHWM begins anew. */
function forgetPeak({ pid }: MemberProcess): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function mib(bytes: number): number {
  return Math.round(bytes / mebibyte);
}

function shown({ count, medianMs, worstMs }: Latencies): string {
  return `${medianMs.toFixed(1)} ms, at most ${Math.round(worstMs)} (${count} times)`;
}
