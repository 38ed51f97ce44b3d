import {
  Lease,
  type LeaseKeepAliveResponse,
  LeaseRevokeResponse,
  type LeaseTimeToLiveResponse,
  ResponseHeader,
} from '../../proto/gen/rpc.ts';
import { pause } from '../abort.ts';
import { textOf } from '../keys.ts';
import { writeDone, writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { type CommandLine, idOf, wholeOf } from './command-line.ts';
import { base64, etcdFields, goQuoted } from './etcd-json.ts';
import { type Field, headerFields } from './fields.ts';
import { leaseText } from './text.ts';

const chapter = 'Leases, locks and elections';
const formats = ['simple', 'json', 'fields'] as const;
const idExample = '694d77aa9e38260f';
/** A lease is renewed when a third of its life is over. */
const renewalsPerLife = 3;

export const leaseCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'lease grant',
    operands: 'TTL_SECONDS',
    chapter,
    summary: 'Make a lease, which ends when it was not renewed for so many seconds.',
    isWrite: true,
    formats,
    flags: [
      { name: 'id', value: 'ID', summary: 'its id, in hexadecimal, instead of one of the store' },
    ],
    examples: [
      { words: 'lease grant 60' },
      { words: `lease grant 60 --id ${idExample}` },
      { words: 'lease grant 60 -w json' },
    ],
    run: grant,
  }),
  commandOf({
    name: 'lease revoke',
    operands: 'LEASE_ID',
    chapter,
    summary: 'End a lease; its keys are deleted.',
    isWrite: true,
    formats,
    examples: [{ words: `lease revoke ${idExample}` }],
    run: revoke,
  }),
  commandOf({
    name: 'lease timetolive',
    operands: 'LEASE_ID',
    chapter,
    summary: 'How long a lease lives and how long it has left, in seconds.',
    formats,
    flags: [{ name: 'keys', summary: 'also which keys live with it' }],
    examples: [{ words: `lease timetolive ${idExample} --keys` }],
    run: timeToLive,
  }),
  commandOf({
    name: 'lease keep-alive',
    operands: 'LEASE_ID',
    chapter,
    summary: 'Renew a lease again and again until Ctrl-C, or until it is gone.',
    formats,
    flags: [{ name: 'once', summary: 'renew it once' }],
    examples: [
      { words: `lease keep-alive ${idExample}`, goesOn: true },
      { words: `lease keep-alive --once ${idExample}` },
    ],
    endsItself: true,
    run: keepAlive,
  }),
  commandOf({
    name: 'lease list',
    chapter,
    summary: 'Which leases there are.',
    formats,
    examples: [{ words: 'lease list' }],
    run: list,
  }),
];

function leaseIdOf(line: CommandLine): bigint {
  return BigInt.asIntN(64, idOf(line.operands[0] ?? '', 'LEASE_ID'));
}

async function grant(command: Command): Promise<boolean> {
  const { line, client } = command;
  const ttlSeconds = wholeOf(line.operands[0] ?? '', 'TTL_SECONDS');
  const answer = await client.leaseGrant(ttlSeconds, line.id('id') ?? 0n);
  const { header, ID, TTL, error } = answer;
  writeForms(command, {
    simple: () => `lease ${leaseText(ID)} granted with TTL(${TTL}s)\n`,
    json: () =>
      `{${etcdFields(ResponseHeader, header)},"ID":${ID},"TTL":${TTL},"Error":${JSON.stringify(error)}}`,
    fields: () => [...headerFields(header), ['ID', ID], ['TTL', TTL]],
  });
  return true;
}

async function revoke(command: Command): Promise<boolean> {
  const id = leaseIdOf(command.line);
  const answer = await command.client.call(Lease.methods.leaseRevoke, { ID: id });
  writeDone(command, [LeaseRevokeResponse, answer], `lease ${leaseText(id)} revoked`);
  return true;
}

async function timeToLive(command: Command): Promise<boolean> {
  const { line, client } = command;
  const keys = line.flag('keys');
  const answer = await client.leaseTimeToLive(leaseIdOf(line), { keys });
  writeForms(command, {
    simple: () => timeToLiveText(answer, keys),
    json: () => timeToLiveJson(answer),
    fields: () => timeToLiveFields(answer),
  });
  return true;
}

function timeToLiveText(of: LeaseTimeToLiveResponse, withKeys: boolean): string {
  const { ID, TTL, grantedTTL } = of;
  const id = leaseText(ID);
  if (grantedTTL === 0 && TTL === -1) return `lease ${id} already expired\n`;
  const keys = withKeys ? `, attached keys([${of.keys.map(textOf).join(' ')}])` : '';
  return `lease ${id} granted with TTL(${grantedTTL}s), remaining(${TTL}s)${keys}\n`;
}

function timeToLiveJson({ header, ID, TTL, grantedTTL, keys }: LeaseTimeToLiveResponse): string {
  const list = keys.length === 0 ? 'null' : `[${keys.map(base64).join(',')}]`;
  const own = `"id":${ID},"ttl":${TTL},"granted-ttl":${grantedTTL},"keys":${list}`;
  return `{${etcdFields(ResponseHeader, header ?? ResponseHeader.create())},${own}}`;
}

function timeToLiveFields({ header, ID, TTL, grantedTTL, keys }: LeaseTimeToLiveResponse): Field[] {
  return [
    ...headerFields(header),
    ['ID', ID],
    ['TTL', TTL],
    ['GrantedTTL', grantedTTL],
    ...keys.map((key): Field => ['Key', goQuoted(key)]),
  ];
}

async function keepAlive(command: Command): Promise<boolean> {
  const { line, client, terminal } = command;
  const id = leaseIdOf(line);
  const isOnce = line.flag('once');
  for (;;) {
    const answer = await client.leaseRenewal(id, { signal: terminal.signal });
    if (answer.TTL <= 0) {
      const text = `lease ${leaseText(id)} expired or revoked.`;
      if (isOnce) throw new CommandError(`${text} Leases that there are: mainstayctl lease list`);
      if (line.format('simple') === 'simple') terminal.write(`${text}\n`);
      return true;
    }
    writeRenewal(command, answer);
    if (isOnce) return true;
    try {
      await pause((1_000 * answer.TTL) / renewalsPerLife, [terminal.signal]);
    } catch (error) {
      if (terminal.signal.aborted) return true;
      throw error;
    }
  }
}

function writeRenewal(command: Command, answer: LeaseKeepAliveResponse): void {
  const { header = ResponseHeader.create(), ID, TTL } = answer;
  writeForms(command, {
    simple: () => `lease ${leaseText(ID)} keepalived with TTL(${TTL})\n`,
    json: () => `{${etcdFields(ResponseHeader, header)},"ID":${ID},"TTL":${TTL}}`,
    fields: () => [...headerFields(header), ['ID', ID], ['TTL', TTL]],
  });
}

async function list(command: Command): Promise<boolean> {
  const answer = await command.client.leases();
  const { header, leases } = answer;
  const ids = leases.map(({ ID }) => ID);
  writeForms(command, {
    simple: () => [`found ${ids.length} leases\n`, ...ids.map((id) => `${leaseText(id)}\n`)],
    json: () => {
      const items = ids.map((id) => `{"id":${id}}`).join(',');
      return `{${etcdFields(ResponseHeader, header)},"leases":[${items}]}`;
    },
    fields: () => [...headerFields(header), ...ids.map((id): Field => ['ID', id])],
  });
  return true;
}
