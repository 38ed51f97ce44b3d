import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { counter, type Family, gauge, info } from './exposition.ts';

const pageBytes = 4096;
const resolutionMs = 20;

/** What prometheus' libraries tell of a process, and what matters of one that is Node's. */
export class ProcessMetrics {
  readonly #startedAtSeconds = performance.timeOrigin / 1000;
  readonly #delay = monitorEventLoopDelay({ resolution: resolutionMs });

  constructor() {
    this.#delay.enable();
  }

  families(): Family[] {
    const memory = process.memoryUsage();
    const cpu = process.cpuUsage();
    const open = openFiles();
    const max = openFilesMax();
    return [
      counter(
        'process_cpu_seconds_total',
        'Total user and system CPU time spent in seconds.',
        (cpu.user + cpu.system) / 1e6,
      ),
      gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', memory.rss),
      gauge('process_virtual_memory_bytes', 'Virtual memory size in bytes.', virtualBytes()),
      gauge(
        'process_start_time_seconds',
        'Start time of the process since unix epoch in seconds.',
        this.#startedAtSeconds,
      ),
      gauge('process_open_fds', 'Number of open file descriptors.', open),
      gauge('process_max_fds', 'Maximum number of open file descriptors.', max),
      gauge('os_fd_used', 'The number of used file descriptors.', open),
      gauge('os_fd_limit', 'The file descriptor limit.', max),
      info('nodejs_version_info', 'Which version of Node is running.', {
        version: process.version,
      }),
      gauge('nodejs_heap_size_used_bytes', 'Heap that is in use.', memory.heapUsed),
      gauge('nodejs_heap_size_total_bytes', 'Heap that V8 has reserved.', memory.heapTotal),
      gauge(
        'nodejs_external_memory_bytes',
        'Memory outside of the heap that objects hold, buffers included.',
        memory.external,
      ),
      ...this.#delayFamilies(),
    ];
  }

  #delayFamilies(): Family[] {
    const delay = this.#delay;
    // What is measured is the time between two timers.
    const lag = (ns: number): number => Math.max(0, ns / 1e9 - resolutionMs / 1e3);
    const help = 'How late timers ran since the last scrape:';
    const families = [
      gauge('nodejs_eventloop_lag_p50_seconds', `${help} the median.`, lag(delay.percentile(50))),
      gauge('nodejs_eventloop_lag_p99_seconds', `${help} 99 of 100.`, lag(delay.percentile(99))),
      gauge('nodejs_eventloop_lag_max_seconds', `${help} the worst.`, lag(delay.max)),
    ];
    delay.reset();
    return families;
  }
}

/** -1 where the system does not tell. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return -1;
  }
}

function openFilesMax(): number {
  return numberIn('/proc/self/limits', /^Max open files\s+(\d+)/m) ?? -1;
}

function virtualBytes(): number {
  return (numberIn('/proc/self/statm', /^(\d+)/) ?? 0) * pageBytes;
}

function numberIn(file: string, pattern: RegExp): number | undefined {
  try {
    const text = pattern.exec(readFileSync(file, 'latin1'))?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}
