import { pause } from '../client/abort.ts';
import { type Command, type CommandSpec, commandOf } from '../client/ctl/command.ts';
import { durationOf } from '../client/ctl/command-line.ts';
import { clusterFlag, endpointsFor } from '../client/ctl/endpoint.ts';
import { UsageError } from '../client/ctl/flags.ts';
import { jsonOf } from '../client/ctl/text.ts';
import { ClientError } from '../client/errors.ts';
import { type HeatSample, sampleHeat } from './hot-prefixes.ts';
import { readMetrics } from './metrics-page.ts';
import { fitted, type Look, type MemberLook, type TopView, topText, topView } from './top-view.ts';

export const topCommand: CommandSpec = commandOf({
  name: 'top',
  chapter: 'Members',
  summary:
    'What the members do now: requests and latencies, leader, sizes, watchers and the hottest prefixes; shown anew until q or Ctrl-C.',
  flags: [
    clusterFlag,
    { name: 'interval', value: 'DURATION', default: '2s', summary: 'how often it is shown anew' },
    { name: 'once', summary: 'show it once, after one interval, and end' },
    {
      name: 'sample',
      value: 'DURATION',
      default: '500ms',
      summary:
        'for how long of each interval every change is watched, for the hottest prefixes; 0s: not',
    },
    { name: 'prefix', value: 'PREFIX', summary: 'watch only the keys that begin so' },
    {
      name: 'depth',
      value: 'COUNT',
      default: '2',
      summary: 'a prefix ends with so many slashes, one at the beginning not counted',
    },
  ],
  examples: [
    { words: 'top --cluster', goesOn: true },
    { words: 'top --once --interval 1s' },
    { words: 'top --once --interval 500ms --sample 200ms -w json', note: 'for programs' },
  ],
  notes: [
    'Reads /metrics at the client URLs. Latencies are of what happened within the interval; etcd counts those of methods only with',
    '--metrics extensive. SYNC is of the log, COMMIT of the database. Without a terminal one view follows the other.',
    'Exit status: 0 ended, or --once and all members answered; 1 a member did not answer; 2 wrong command line.',
  ],
  endsItself: true,
  run: top,
});

async function top(command: Command): Promise<boolean> {
  const { line, terminal } = command;
  const intervalMs = durationOf(line.text('interval') ?? '2s', '--interval');
  if (intervalMs < 100) throw new UsageError('--interval: at least 100ms');
  const sampleMs = durationOf(line.text('sample') ?? '500ms', '--sample');
  const depth = line.text('depth') === undefined ? 2 : line.whole('depth');
  const enough = new AbortController();
  const end = () => enough.abort();
  terminal.signal.addEventListener('abort', end);
  if (terminal.signal.aborted) end();
  const isOnce = line.flag('once');
  const screen = isOnce || line.format('simple') === 'json' ? undefined : new Screen(command, end);
  const times = { intervalMs, sampleMs: Math.min(sampleMs, intervalMs), depth };
  try {
    let before = await lookAt(command);
    for (;;) {
      const [prefixes] = await Promise.all([
        heatOf(command, { ...times, signal: enough.signal }),
        pause(intervalMs, [enough.signal]),
      ]);
      const after = await lookAt(command);
      const view = topView(before, after, prefixes);
      if (enough.signal.aborted) return true;
      show(command, view, screen);
      if (isOnce) return view.members.every(({ failure }) => failure === undefined);
      before = after;
    }
  } catch (error) {
    if (enough.signal.aborted) return true;
    throw error;
  } finally {
    terminal.signal.removeEventListener('abort', end);
    screen?.leave();
  }
}

async function heatOf(
  { client, line }: Command,
  times: { readonly sampleMs: number; readonly depth: number; readonly signal: AbortSignal },
): Promise<HeatSample> {
  if (times.sampleMs === 0) return 'nothing is watched (--sample)';
  return sampleHeat(client, { ...times, prefix: line.text('prefix') ?? '' });
}

async function lookAt(command: Command): Promise<Look> {
  const endpoints = await endpointsFor(command);
  const members = await Promise.all(endpoints.map((endpoint) => lookAtMember(command, endpoint)));
  return { atMs: performance.now(), members };
}

async function lookAtMember({ line, client }: Command, endpoint: string): Promise<MemberLook> {
  const failures: string[] = [];
  const orFailure = async <T>(told: Promise<T>): Promise<T | undefined> => {
    try {
      return await told;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      failures.push(error instanceof ClientError ? error.text : error.message);
      return undefined;
    }
  };
  const { tls, dialTimeoutMs } = line;
  const [status, metrics] = await Promise.all([
    orFailure(client.status(endpoint, { timeoutMs: dialTimeoutMs })),
    orFailure(readMetrics(endpoint, { tls, timeoutMs: dialTimeoutMs })),
  ]);
  return { endpoint, status, metrics, failure: failures[0] };
}

function show({ line, terminal }: Command, view: TopView, screen: Screen | undefined): void {
  if (line.format('simple') === 'json') terminal.write(jsonOf(view));
  else if (screen === undefined) terminal.write(topText(view));
  else screen.show(topText(view));
}

const enter = '\u001b[?1049h\u001b[?25l';
const leave = '\u001b[?25h\u001b[?1049l';
const home = '\u001b[H';
const clearRest = '\u001b[J';
const clearLine = '\u001b[K';
const controlC = '\u0003';

/** The whole of a terminal, until it is given back as it was; where there is none, one view follows the other. */
class Screen {
  readonly #terminal: Command['terminal'];
  readonly #forgetKeys: (() => void) | undefined;

  constructor({ terminal }: Command, onEnough: () => void) {
    this.#terminal = terminal;
    if (terminal.screen === undefined) return;
    this.#forgetKeys = terminal.onKey?.((key) => {
      if (key === 'q' || key === controlC) onEnough();
    });
    terminal.write(`${enter}${home}${clearRest}waiting for the first interval; q ends it`);
  }

  show(text: string): void {
    const { screen } = this.#terminal;
    if (screen === undefined) {
      this.#terminal.write(`${text}\n`);
      return;
    }
    const lines = fitted(text, screen()).map((line) => `${line}${clearLine}\r\n`);
    this.#terminal.write(`${home}${lines.join('')}${clearRest}`);
  }

  leave(): void {
    this.#forgetKeys?.();
    if (this.#terminal.screen !== undefined) this.#terminal.write(leave);
  }
}
