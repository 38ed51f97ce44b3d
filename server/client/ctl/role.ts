import { Buffer } from 'node:buffer';
import { equalBytes } from '../../base/bytes.ts';
import { type Permission, PermissionType } from '../../proto/gen/auth.ts';
import {
  Auth,
  AuthRoleAddResponse,
  AuthRoleDeleteResponse,
  AuthRoleGetResponse,
  AuthRoleGrantPermissionResponse,
  AuthRoleListResponse,
  AuthRoleRevokePermissionResponse,
} from '../../proto/gen/rpc.ts';
import { openEnd, prefixEnd, textOf } from '../keys.ts';
import { writeDone, writeForms } from './answer.ts';
import { type Command, type CommandSpec, commandOf } from './command.ts';
import { etcdJson, goQuoted } from './etcd-json.ts';
import { type Field, headerFields } from './fields.ts';
import { UsageError } from './flags.ts';
import { fromKeyFlag, keysOf, prefixFlag } from './keys-of.ts';

const chapter = 'Users and roles';
const formats = ['simple', 'json', 'fields'] as const;
const harmless = { repeat: 'harmless' } as const;

const permissionTypes: Readonly<Record<string, PermissionType>> = {
  read: PermissionType.READ,
  write: PermissionType.WRITE,
  readwrite: PermissionType.READWRITE,
};

export const roleCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'role add',
    operands: 'ROLE',
    chapter,
    summary: 'Make a role, which may do nothing yet.',
    isWrite: true,
    formats,
    examples: [{ words: 'role add reader' }],
    run: add,
  }),
  commandOf({
    name: 'role grant-permission',
    operands: 'ROLE PERMISSION KEY [RANGE_END]',
    chapter,
    summary: 'Allow a role to read, write or readwrite a key or a range of keys.',
    isWrite: true,
    formats,
    flags: [prefixFlag, fromKeyFlag],
    examples: [
      { words: 'role grant-permission reader read config/ --prefix' },
      { words: 'role grant-permission reader readwrite greeting' },
      { words: 'role grant-permission reader read a c', note: 'from a to before c' },
    ],
    run: grant,
  }),
  commandOf({
    name: 'role revoke-permission',
    operands: 'ROLE KEY [RANGE_END]',
    chapter,
    summary: 'Take a permission back; the range has to be the one that was granted.',
    isWrite: true,
    formats,
    flags: [prefixFlag, fromKeyFlag],
    examples: [{ words: 'role revoke-permission reader config/ --prefix' }],
    run: revoke,
  }),
  commandOf({
    name: 'role get',
    operands: 'ROLE',
    chapter,
    summary: 'What a role may do.',
    formats,
    examples: [{ words: 'role get reader' }],
    run: get,
  }),
  commandOf({
    name: 'role list',
    chapter,
    summary: 'Which roles there are.',
    formats,
    examples: [{ words: 'role list' }],
    run: list,
  }),
  commandOf({
    name: 'role delete',
    operands: 'ROLE',
    chapter,
    summary: 'Delete a role; whoever has it loses it.',
    isWrite: true,
    formats,
    examples: [{ words: 'role delete reader' }],
    run: remove,
  }),
];

async function add(command: Command): Promise<boolean> {
  const [name = ''] = command.line.operands;
  const answer = await command.client.call(Auth.methods.roleAdd, { name });
  writeDone(command, [AuthRoleAddResponse, answer], `Role ${name} created`);
  return true;
}

async function grant(command: Command): Promise<boolean> {
  const [name = '', permission = '', ...range] = command.line.operands;
  const permType = permissionTypes[permission.toLowerCase()];
  if (permType === undefined) {
    throw new UsageError(`PERMISSION: "${permission}" is not read, write or readwrite`);
  }
  const perm = { permType, ...keysOf(command.line, range) };
  const answer = await command.client.call(Auth.methods.roleGrantPermission, { name, perm });
  writeDone(command, [AuthRoleGrantPermissionResponse, answer], `Role ${name} updated`);
  return true;
}

async function revoke(command: Command): Promise<boolean> {
  const [role = '', ...range] = command.line.operands;
  const { key, rangeEnd } = keysOf(command.line, range);
  const request = { role, key, rangeEnd };
  const answer = await command.client.call(Auth.methods.roleRevokePermission, request);
  // As etcdctl: what was typed, rather than the zero byte that an empty key stands for.
  const typed = range[0] ?? '';
  const what =
    rangeEnd.length === 0
      ? `key ${typed}`
      : `range ${equalBytes(rangeEnd, openEnd) ? `[${typed}, <open ended>` : `[${typed}, ${textOf(rangeEnd)})`}`;
  const sentence = `Permission of ${what} is revoked from role ${role}`;
  writeDone(command, [AuthRoleRevokePermissionResponse, answer], sentence);
  return true;
}

async function get(command: Command): Promise<boolean> {
  const [role = ''] = command.line.operands;
  const answer = await command.client.auth.roleGet(role);
  writeForms(command, {
    simple: () => roleText(role, answer),
    json: () => etcdJson(AuthRoleGetResponse, answer),
    fields: () => [...headerFields(answer.header), ...answer.perm.flatMap(permissionFields)],
  });
  return true;
}

function permissionFields({ permType, key, rangeEnd }: Permission): Field[] {
  const name = Object.entries(PermissionType).find(([, each]) => each === permType)?.[0] ?? '';
  return [
    ['PermType', ` ${name}`],
    ['Key', goQuoted(key)],
    ['RangeEnd', goQuoted(rangeEnd)],
  ];
}

export function roleText(role: string, { perm }: AuthRoleGetResponse): string {
  const lines = (kind: PermissionType) =>
    perm
      .filter(({ permType }) => permType === kind || permType === PermissionType.READWRITE)
      .map((each) => `\t${permittedText(each)}\n`)
      .join('');
  return `Role ${role}\nKV Read:\n${lines(PermissionType.READ)}KV Write:\n${lines(PermissionType.WRITE)}`;
}

function permittedText({ key, rangeEnd }: Permission): string {
  if (rangeEnd.length === 0) return textOf(key);
  const isOpen = equalBytes(rangeEnd, openEnd);
  const range = `[${textOf(key)}, ${isOpen ? '<open ended>' : `${textOf(rangeEnd)})`}`;
  return equalBytes(prefixEnd(key), rangeEnd) ? `${range} (prefix ${textOf(key)})` : range;
}

async function list(command: Command): Promise<boolean> {
  const answer = await command.client.call(Auth.methods.roleList, {}, harmless);
  writeForms(command, {
    simple: () => answer.roles.map((role) => `${role}\n`),
    json: () => etcdJson(AuthRoleListResponse, answer),
    fields: () => [
      ...headerFields(answer.header),
      ['Roles', answer.roles.map((role) => goQuoted(Buffer.from(role))).join(' ')],
    ],
  });
  return true;
}

async function remove(command: Command): Promise<boolean> {
  const [role = ''] = command.line.operands;
  const answer = await command.client.call(Auth.methods.roleDelete, { role });
  writeDone(command, [AuthRoleDeleteResponse, answer], `Role ${role} deleted`);
  return true;
}
