import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { AuthStore } from '../../../server/auth/auth-store.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import { Role, User } from '../../../server/proto/gen/auth.ts';
import { addUser, enable, hashed, permission, Records } from './support.ts';

function store(): AuthStore {
  return new AuthStore({ backend: new Records() });
}

/** The name of the error. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof EtcdError) return error.error;
    throw error;
  }
  return 'ok';
}

const nobody = { password: '', hashedPassword: hashed, options: undefined };

/** What {@link Records.reopen} has to bring back. */
function contents(auth: AuthStore): unknown {
  return {
    users: auth.userNames().map((name) => hex(User.encode(User.create(auth.user(name))))),
    roles: auth.roleNames().map((name) => hex(Role.encode(Role.create(auth.role(name))))),
    isEnabled: auth.isEnabled,
    revision: auth.revision,
  };
}

function hex(bytes: Buffer): string {
  return bytes.toString('hex');
}

suite('on and off', () => {
  test('needs the user root with the role root', () => {
    const auth = store();
    assert.equal(
      refusal(() => auth.enable()),
      'RootUserNotExist',
    );
    auth.addUser({ name: 'root', ...nobody });
    assert.equal(
      refusal(() => auth.enable()),
      'RootRoleNotExist',
    );
    auth.grantRole('root', 'root');
    auth.enable();
    auth.enable();
    assert.equal(auth.isEnabled, true);
    assert.equal(auth.revision, 3, 'enabling is no change');
    auth.disable();
    auth.disable();
    assert.equal(auth.revision, 4, 'disabling is one');
  });

  test('while it is on, root stays what it is', () => {
    const auth = store();
    enable(auth);
    auth.addRole('root');
    assert.equal(
      refusal(() => auth.deleteUser('root')),
      'InvalidAuthMgmt',
    );
    assert.equal(
      refusal(() => auth.revokeRole('root', 'root')),
      'InvalidAuthMgmt',
    );
    assert.equal(
      refusal(() => auth.deleteRole('root')),
      'InvalidAuthMgmt',
    );
    auth.disable();
    auth.revokeRole('root', 'root');
    auth.deleteRole('root');
    auth.deleteUser('root');
    assert.equal(
      refusal(() => auth.enable()),
      'RootUserNotExist',
    );
  });
});

suite('users and roles', () => {
  test('errors are etcd’s, and none of them counts as a change', () => {
    const auth = store();
    addUser(auth, 'u');
    const before = auth.revision;
    const cases: readonly (readonly [string, () => unknown])[] = [
      ['UserEmpty', () => auth.addUser({ name: '', ...nobody })],
      ['UserAlreadyExist', () => auth.addUser({ name: 'u', ...nobody })],
      ['NoPasswordUser', () => auth.addUser({ name: 'v', ...nobody, hashedPassword: '*' })],
      ['NoPasswordUser', () => auth.addUser({ name: 'v', ...nobody, hashedPassword: 'abc' })],
      ['UserNotFound', () => auth.deleteUser('v')],
      ['UserNotFound', () => auth.changePassword({ name: 'v', ...nobody })],
      [
        'NoPasswordUser',
        () => auth.changePassword({ name: 'u', password: '', hashedPassword: '?' }),
      ],
      ['UserNotFound', () => auth.grantRole('v', 'none')],
      ['RoleNotFound', () => auth.grantRole('u', 'none')],
      ['ok', () => auth.grantRole('u', 'of u')],
      ['UserNotFound', () => auth.revokeRole('v', 'of u')],
      ['RoleNotGranted', () => auth.revokeRole('u', 'none')],
      ['RoleEmpty', () => auth.addRole('')],
      ['RoleAlreadyExist', () => auth.addRole('of u')],
      ['RoleNotFound', () => auth.deleteRole('none')],
      ['PermissionNotGiven', () => auth.grantPermission({ name: 'none', perm: undefined })],
      [
        'InvalidAuthMgmt',
        () => auth.grantPermission({ name: 'none', perm: permission('READ', '') }),
      ],
      [
        'InvalidAuthMgmt',
        () => auth.grantPermission({ name: 'none', perm: permission('READ', 'b', 'a') }),
      ],
      [
        'InvalidAuthMgmt',
        () => auth.grantPermission({ name: 'none', perm: permission('READ', 'b', 'b') }),
      ],
      [
        'RoleNotFound',
        () => auth.grantPermission({ name: 'none', perm: permission('READ', 'a', '\0') }),
      ],
      ['RoleNotFound', () => auth.revokePermission({ role: 'none', ...permission('READ', 'a') })],
      [
        'PermissionNotGranted',
        () => auth.revokePermission({ role: 'of u', ...permission('READ', 'a') }),
      ],
    ];
    for (const [expected, run] of cases) assert.equal(refusal(run), expected, String(run));
    assert.equal(auth.revision, before);
  });

  test('a permission of the same range is replaced, others are sorted in by key', () => {
    const auth = store();
    auth.addRole('r');
    const granted = [
      permission('READ', 'b', 'c'),
      permission('WRITE', 'a'),
      permission('READWRITE', 'b', 'c'),
      permission('READ', 'b', '\0'),
    ];
    for (const perm of granted) auth.grantPermission({ name: 'r', perm });
    assert.deepEqual(auth.role('r')?.keyPermission, [
      permission('WRITE', 'a'),
      permission('READWRITE', 'b', 'c'),
      permission('READ', 'b', '\0'),
    ]);
    auth.revokePermission({ role: 'r', ...permission('READ', 'b', 'c') });
    assert.equal(auth.role('r')?.keyPermission.length, 2);
    assert.equal(auth.revision, 7, '1, and one for each change');
  });

  test('a deleted role is taken from its users', () => {
    const auth = store();
    addUser(auth, 'u', permission('READ', 'k'));
    addUser(auth, 'v');
    auth.grantRole('v', 'of u');
    assert.deepEqual(auth.user('v')?.roles, ['of u', 'of v']);
    const key = Buffer.from('k');
    assert.equal(auth.coverageOf('v').read.covers(key, new Uint8Array(0)), true);
    auth.deleteRole('of u');
    assert.deepEqual(auth.user('u')?.roles, []);
    assert.deepEqual(auth.user('v')?.roles, ['of v']);
    assert.equal(auth.coverageOf('v').read.covers(key, new Uint8Array(0)), false);
  });

  test('names are sorted by their bytes, not by UTF-16', () => {
    const auth = store();
    for (const name of ['\u{1f600}', '\uffee', 'z', 'A']) auth.addUser({ name, ...nobody });
    assert.deepEqual(auth.userNames(), ['A', 'z', '\uffee', '\u{1f600}']);
  });
});

test('an entry of authentication makes the token on every member, of users that may have one', () => {
  const auth = store();
  const seen: string[] = [];
  auth.observe({
    authenticated: (username, token) => seen.push(`${username} ${token}`),
    userChanged: (username) => seen.push(`${username} changed`),
    reset: () => seen.push('reset'),
  });
  assert.equal(
    refusal(() => auth.authenticate('root', 'abc', 7)),
    'AuthNotEnabled',
  );
  enable(auth);
  auth.addUser({ name: 'cn', ...nobody, options: { noPassword: true } });
  assert.equal(auth.authenticate('root', 'abc', 7), 'abc.7');
  assert.equal(auth.authenticate('root', '', 8), '', 'no prefix, no token');
  assert.equal(
    refusal(() => auth.authenticate('none', 'abc', 9)),
    'AuthFailed',
  );
  assert.equal(
    refusal(() => auth.authenticate('cn', 'abc', 9)),
    'AuthFailed',
  );
  auth.changePassword({ name: 'root', ...nobody });
  auth.deleteUser('cn');
  auth.disable();
  assert.deepEqual(seen, ['root abc.7', 'root changed', 'cn changed', 'reset']);
});

test('everything is there again when the records are read', () => {
  const records = new Records();
  const auth = new AuthStore({ backend: records });
  assert.deepEqual(contents(records.reopen()), contents(auth), 'nothing yet: revision 1');
  enable(auth);
  addUser(auth, 'ü', permission('READ', 'a', 'b'), permission('WRITE', 'c'));
  addUser(auth, 'gone');
  auth.deleteUser('gone');
  auth.deleteRole('of gone');
  auth.addUser({ name: 'cn', ...nobody, options: { noPassword: true } });
  assert.deepEqual(contents(records.reopen()), contents(auth));
  auth.disable();
  assert.deepEqual(contents(records.reopen()), contents(auth));
  assert.equal(Buffer.from(auth.user('cn')?.password ?? 'x').length, 0);
});

test('tokens of the state before do not outlive it', () => {
  const records = new Records();
  const auth = records.reopen();
  let resets = 0;
  auth.observe({ authenticated() {}, userChanged() {}, reset: () => (resets += 1) });
  auth.restoreBegin();
  auth.restoreEnd();
  assert.equal(resets, 1);
});
