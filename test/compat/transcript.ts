import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import {
  Etcdctl,
  type Finished,
  type RunningEtcdctl,
  type RunOptions,
} from '../support/etcdctl.ts';
import { TestCluster } from '../support/server-process.ts';
import { testedProgram } from './store-under-test.ts';

/**
 * etcdctl against one store, with a transcript of what was typed and what came back. Ids, addresses, times and sizes are
 * masked: the rest has to be the same on both stores.
 */
export class Transcript {
  readonly cluster: TestCluster;
  readonly #etcdctl: Etcdctl;
  #text = '';

  constructor(modules: { cluster: TestCluster; etcdctl: Etcdctl }) {
    this.cluster = modules.cluster;
    this.#etcdctl = modules.etcdctl;
  }

  get text(): string {
    return this.#text;
  }

  /** Runs a command that succeeds; resolves with its output. */
  async ok(command: string | readonly string[], options?: RunOptions): Promise<string> {
    const finished = await this.#run(command, options);
    assert.equal(finished.code, 0, `etcdctl ${command}: ${finished.stdout}${finished.stderr}`);
    return finished.stdout;
  }

  /** Runs a command that the store refuses; resolves with what etcdctl says then. */
  async refused(command: string | readonly string[], options?: RunOptions): Promise<string> {
    const finished = await this.#run(command, options);
    assert.notEqual(finished.code, 0, `etcdctl ${command}: ${finished.stdout}${finished.stderr}`);
    return finished.stderr;
  }

  /** Runs a command of which the transcript says nothing. */
  async quietly(command: string, options?: RunOptions): Promise<string> {
    const finished = await this.#etcdctl.run(words(command), options);
    assert.equal(finished.code, 0, `etcdctl ${command}: ${finished.stdout}${finished.stderr}`);
    return finished.stdout;
  }

  /** Runs a command that fails, of which the transcript says nothing; resolves with what etcdctl says. */
  async refusedQuietly(command: string, endpoints: readonly string[]): Promise<string> {
    const finished = await this.#etcdctl.run(words(command), { endpoints });
    assert.notEqual(finished.code, 0, `etcdctl ${command}: ${finished.stdout}`);
    return finished.stderr;
  }

  /** Starts a command that goes on by itself; what it prints is noted by {@link note}. */
  start(command: string, options?: RunOptions): RunningEtcdctl {
    this.note(`$ ${command} &`);
    return this.#etcdctl.start(words(command), options);
  }

  note(text: string): void {
    this.#text += `${mask(text, this.cluster)}\n`;
  }

  async #run(command: string | readonly string[], options?: RunOptions): Promise<Finished> {
    const args = typeof command === 'string' ? words(command) : command;
    const finished = await this.#etcdctl.run(args, options);
    this.note(`$ ${args.join(' ')}`);
    this.note(finished.stdout + withoutLogs(finished.stderr));
    if (finished.code !== 0) this.note(`exit status ${finished.code}`);
    return finished;
  }
}

const scenarioTimeoutMs = 60_000;

/** A test of one command: what is done to each of the two stores, in the same order. */
export type Scenario = (transcript: Transcript) => Promise<void>;

/** Two clusters that go through the same scenarios, so that their revisions stay equal. */
export class Pair {
  readonly #stores: readonly { readonly cluster: TestCluster; readonly etcdctl: Etcdctl }[];

  static async with(
    size: number,
    body: (pair: Pair) => Promise<void>,
    flags: readonly string[] = [],
  ): Promise<void> {
    const programs = [testedProgram(), 'etcd'] as const;
    const started = await Promise.allSettled(
      programs.map((program) => TestCluster.start({ program, size, flags })),
    );
    const clusters = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    try {
      for (const one of started) if (one.status === 'rejected') throw one.reason;
      await body(new Pair(clusters));
    } finally {
      await Promise.all(clusters.map((cluster) => cluster.stop()));
    }
  }

  private constructor(clusters: readonly TestCluster[]) {
    this.#stores = clusters.map((cluster) => ({ cluster, etcdctl: new Etcdctl(cluster) }));
  }

  async test(context: TestContext, name: string, scenario: Scenario): Promise<void> {
    await context.test(name, { timeout: scenarioTimeoutMs }, async () => {
      const [tested, etcd] = await Promise.all(
        this.#stores.map((store) =>
          store.cluster.showLogsOnFailure(async () => {
            const transcript = new Transcript(store);
            await scenario(transcript);
            return transcript.text;
          }),
        ),
      );
      assert.equal(tested, etcd);
    });
  }
}

/** Words between blanks; an empty word is written `''`. */
export function words(command: string): string[] {
  return command.split(' ').map((word) => (word === "''" ? '' : word));
}

/** etcdctl's client logs its retries, with addresses in memory. */
function withoutLogs(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => !line.startsWith('{"level":'));
  return lines.join('\n');
}

/** Fields of etcdctl's JSON that differ from store to store. */
const maskedFields =
  /"(cluster_id|member_id|raft_term|ID|leader|raftIndex|raftTerm|raftAppliedIndex|dbSize|dbSizeInUse|took)":("[^"]*"|\d+)/g;

export function mask(text: string, cluster: TestCluster): string {
  let masked = text;
  for (const member of cluster.members) {
    masked = masked
      .replaceAll(member.clientUrl, `<client of ${member.name}>`)
      .replaceAll(new URL(member.clientUrl).host, `<client of ${member.name}>`)
      .replaceAll(member.peerUrl, `<peer ${member.name}>`);
  }
  return (
    masked
      .replace(maskedFields, '"$1":"..."')
      .replace(/"version":"[^"]*"/g, '"version":"..."')
      .replace(/\b(ClusterID|MemberID|RaftTerm)" : \d+/g, '$1" : ...')
      // etcdctl pads a short one to sixteen digits in some places.
      .replace(/(?<=\w) +(?=[0-9a-f]{13,15}\b)/g, ' ')
      .replace(/\b[0-9a-f]{13,16}\b/g, '<id>')
      .replace(/took = [\d.]+.?s/g, 'took = ...')
      .replace(/remaining\(\d+s\)/g, 'remaining(...)')
      .replace(/attached keys\(\[([^\]]*)\]\)/g, (_all, keys: string) => {
        // etcd lists them in the order of a Go map: none.
        return `attached keys([${keys.split(' ').sort().join(' ')}])`;
      })
  );
}
