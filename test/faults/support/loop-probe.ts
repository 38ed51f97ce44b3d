import { openSync, readFileSync, writeSync } from 'node:fs';
import { PerformanceObserver, performance } from 'node:perf_hooks';

// Imported into a member by NODE_OPTIONS: notes in the file of MAINSTAY_LOOP_PROBE, a line each, between which times
// (`performance.now()`) no timer ran although one was due, and how long the main thread was on a processor meanwhile; and its
// garbage collections.

const tickMs = 1;
const notedMs = 3;

const path = process.env['MAINSTAY_LOOP_PROBE'];
if (path !== undefined && process.argv[1]?.endsWith('/server/main.js') === true) observe(path);

function observe(file: string): void {
  const log = openSync(file, 'a');
  const note = (...parts: (string | number)[]): void => void writeSync(log, `${parts.join(' ')}\n`);
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) note('gc', startTime, duration);
  }).observe({ entryTypes: ['gc'] });
  let [beforeMs, beforeCpuMs] = [performance.now(), cpuMs()];
  setInterval(() => {
    const [nowMs, nowCpuMs] = [performance.now(), cpuMs()];
    if (nowCpuMs - beforeCpuMs > notedMs) note('held', beforeMs, nowMs, nowCpuMs - beforeCpuMs);
    [beforeMs, beforeCpuMs] = [nowMs, nowCpuMs];
  }, tickMs).unref();
}

/** How long this thread has run. */
function cpuMs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
}
