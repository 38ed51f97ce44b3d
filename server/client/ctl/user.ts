import { Buffer } from 'node:buffer';
import {
  Auth,
  AuthDisableResponse,
  AuthEnableResponse,
  AuthStatusResponse,
  AuthUserAddResponse,
  AuthUserChangePasswordResponse,
  AuthUserDeleteResponse,
  AuthUserGetResponse,
  AuthUserGrantRoleResponse,
  AuthUserListResponse,
  AuthUserRevokeRoleResponse,
} from '../../proto/gen/rpc.ts';
import { ClientError } from '../errors.ts';
import { writeDone, writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { etcdJson } from './etcd-json.ts';
import { type Flag, UsageError } from './flags.ts';
import { roleText } from './role.ts';

const chapter = 'Users and roles';
const formats = ['simple', 'json', 'fields'] as const;
const harmless = { repeat: 'harmless' } as const;

const interactiveFlag: Flag = {
  name: 'interactive',
  default: 'true',
  summary: 'read the password from standard input instead of asking for it',
};

export const userCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'auth enable',
    chapter,
    summary: 'Ask everybody who they are from now on; needs a user root, which gets the role root.',
    isWrite: true,
    examples: [{ words: 'auth enable' }],
    run: authEnable,
  }),
  commandOf({
    name: 'auth disable',
    chapter,
    summary: 'Let everybody do everything again.',
    isWrite: true,
    examples: [{ words: 'auth disable --user root:secret' }],
    run: authDisable,
  }),
  commandOf({
    name: 'auth status',
    chapter,
    summary: 'Whether authentication is on.',
    examples: [{ words: 'auth status' }],
    run: authStatus,
  }),
  commandOf({
    name: 'user add',
    operands: 'NAME[:PASSWORD]',
    operandsMin: 1,
    operandsMax: 1,
    chapter,
    summary: 'Make a user; without a password it is asked for.',
    isWrite: true,
    formats,
    flags: [
      {
        name: 'new-user-password',
        value: 'PASSWORD',
        summary: 'the password, apart from the name',
      },
      { name: 'no-password', summary: 'a user who is known by a certificate alone' },
      interactiveFlag,
    ],
    examples: [
      { words: 'user add root:secret' },
      { words: 'user add ann --new-user-password secret' },
      { before: 'echo secret |', words: 'user add ben --interactive=false' },
      { words: 'user add robot --no-password' },
    ],
    run: add,
  }),
  commandOf({
    name: 'user get',
    operands: 'NAME',
    chapter,
    summary: 'Which roles a user has.',
    formats: ['simple', 'json'],
    flags: [{ name: 'detail', summary: 'also what each role may do' }],
    examples: [{ words: 'user get ann --detail' }],
    run: get,
  }),
  commandOf({
    name: 'user list',
    chapter,
    summary: 'Which users there are.',
    formats: ['simple', 'json'],
    examples: [{ words: 'user list' }],
    run: list,
  }),
  commandOf({
    name: 'user passwd',
    operands: 'NAME',
    chapter,
    summary: 'Change the password of a user.',
    isWrite: true,
    formats,
    flags: [interactiveFlag],
    examples: [{ before: 'echo secret2 |', words: 'user passwd ann --interactive=false' }],
    run: passwd,
  }),
  commandOf({
    name: 'user grant-role',
    operands: 'NAME ROLE',
    chapter,
    summary: 'Give a role to a user.',
    isWrite: true,
    formats,
    examples: [{ words: 'user grant-role ann reader' }],
    run: grantRole,
  }),
  commandOf({
    name: 'user revoke-role',
    operands: 'NAME ROLE',
    chapter,
    summary: 'Take a role from a user.',
    isWrite: true,
    formats,
    examples: [{ words: 'user revoke-role ann reader' }],
    run: revokeRole,
  }),
  commandOf({
    name: 'user delete',
    operands: 'NAME',
    chapter,
    summary: 'Delete a user.',
    isWrite: true,
    formats,
    examples: [{ words: 'user delete ann' }],
    run: remove,
  }),
];

/** As etcdctl: what is missing but the user root itself is made on the way. */
async function authEnable(command: Command): Promise<boolean> {
  const { client } = command;
  for (;;) {
    try {
      const answer = await client.call(Auth.methods.authEnable, {});
      writeDone(command, [AuthEnableResponse, answer], 'Authentication Enabled');
      return true;
    } catch (error) {
      const isRoleMissing =
        error instanceof ClientError && error.text.endsWith('root user does not have root role');
      if (!isRoleMissing) throw error;
    }
    if (!(await client.auth.roleList()).includes('root')) await client.auth.roleAdd('root');
    await client.auth.userGrantRole({ user: 'root', role: 'root' });
  }
}

async function authDisable(command: Command): Promise<boolean> {
  const answer = await command.client.call(Auth.methods.authDisable, {});
  writeDone(command, [AuthDisableResponse, answer], 'Authentication Disabled');
  return true;
}

async function authStatus(command: Command): Promise<boolean> {
  const answer = await command.client.auth.status();
  const { enabled, authRevision } = answer;
  writeForms(command, {
    simple: () => `Authentication Status: ${enabled}\nAuthRevision: ${authRevision}\n`,
    json: () => etcdJson(AuthStatusResponse, answer),
  });
  return true;
}

async function add(command: Command): Promise<boolean> {
  const { line, client } = command;
  const [operand = ''] = line.operands;
  const noPassword = line.flag('no-password');
  const flag = line.text('new-user-password');
  const colon = operand.indexOf(':');
  const isApart = noPassword || flag !== undefined || colon < 0;
  const name = isApart ? operand : operand.slice(0, colon);
  if (name === '') throw new UsageError('a user needs a name');
  const given = isApart ? flag : operand.slice(colon + 1);
  const password = noPassword ? '' : (given ?? (await newPassword(command, name)));
  const request = { name, password, options: { noPassword }, hashedPassword: '' };
  const answer = await client.call(Auth.methods.userAdd, request);
  writeDone(command, [AuthUserAddResponse, answer], `User ${name} created`);
  return true;
}

async function newPassword({ line, terminal }: Command, name: string): Promise<string> {
  if (!line.flag('interactive')) {
    const input = Buffer.from(await terminal.readInput()).toString();
    return /\S+/.exec(input)?.[0] ?? '';
  }
  if (terminal.askSecret === undefined) {
    throw new UsageError(
      `no terminal to ask for the password of ${name}: --interactive=false reads it`,
    );
  }
  const password = await terminal.askSecret(`Password of ${name}: `);
  if (password === '') throw new CommandError('empty password');
  const again = await terminal.askSecret(`Type password of ${name} again for confirmation: `);
  if (again !== password) throw new CommandError('given passwords are different');
  return password;
}

async function get(command: Command): Promise<boolean> {
  const { line, client, terminal } = command;
  const [name = ''] = line.operands;
  const answer = await client.call(Auth.methods.userGet, { name }, harmless);
  if (!line.flag('detail') || line.format('simple') === 'json') {
    writeForms(command, {
      simple: () => `User: ${name}\nRoles:${answer.roles.map((role) => ` ${role}`).join('')}\n`,
      json: () => etcdJson(AuthUserGetResponse, answer),
    });
    return true;
  }
  terminal.write(`User: ${name}\n`);
  for (const role of answer.roles) {
    terminal.write(`\n${roleText(role, await client.auth.roleGet(role))}`);
  }
  return true;
}

async function list(command: Command): Promise<boolean> {
  const answer = await command.client.call(Auth.methods.userList, {}, harmless);
  writeForms(command, {
    simple: () => answer.users.map((user) => `${user}\n`),
    json: () => etcdJson(AuthUserListResponse, answer),
  });
  return true;
}

async function passwd(command: Command): Promise<boolean> {
  const [name = ''] = command.line.operands;
  const password = await newPassword(command, name);
  const request = { name, password, hashedPassword: '' };
  const answer = await command.client.call(Auth.methods.userChangePassword, request);
  writeDone(command, [AuthUserChangePasswordResponse, answer], 'Password updated');
  return true;
}

async function grantRole(command: Command): Promise<boolean> {
  const [user = '', role = ''] = command.line.operands;
  const answer = await command.client.call(Auth.methods.userGrantRole, { user, role });
  const sentence = `Role ${role} is granted to user ${user}`;
  writeDone(command, [AuthUserGrantRoleResponse, answer], sentence);
  return true;
}

async function revokeRole(command: Command): Promise<boolean> {
  const [name = '', role = ''] = command.line.operands;
  const answer = await command.client.call(Auth.methods.userRevokeRole, { name, role });
  const sentence = `Role ${role} is revoked from user ${name}`;
  writeDone(command, [AuthUserRevokeRoleResponse, answer], sentence);
  return true;
}

async function remove(command: Command): Promise<boolean> {
  const [name = ''] = command.line.operands;
  const answer = await command.client.call(Auth.methods.userDelete, { name });
  writeDone(command, [AuthUserDeleteResponse, answer], `User ${name} deleted`);
  return true;
}
