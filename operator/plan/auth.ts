import type { Observation } from '../observe/observation.ts';
import type { AuthChange, StoreAuth } from '../observe/store-admin.ts';
import { type Applied, appliedOf } from '../resources/applied.ts';
import { operatorUser } from '../resources/certificates.ts';
import { writtenAnnotation } from '../resources/labels.ts';
import { connectionSecretName, operatorAuthSecretName } from '../resources/names.ts';
import { passwordKey } from '../resources/secrets.ts';
import { permissionsOf, rangeOf } from '../resources/store-permissions.ts';
import { isForeign, passwordEntry, removeConnection, removedUsers } from './connections.ts';
import { act, type Decision, type Rule, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

// Users and roles, one call after the other: first those without whom nobody could go on, authentication itself last of
// what is new. What the spec does not name is left alone, unless the operator made it.

const rootRole = 'root';

export const auth: Rule = ({ observation }) => {
  const { storeAuth, spec } = observation;
  if (storeAuth === undefined) return undefined;
  if (spec.auth === undefined) return takeDown(observation, storeAuth);
  const root = rootDigest(observation);
  // Without the password of root there is no way back in: nothing is begun. The end of the plan says so.
  if (root === undefined) return undefined;
  return (
    keepRoot(observation, storeAuth) ??
    keepOperator(observation, storeAuth) ??
    keepRoles(observation, storeAuth) ??
    keepUsers(observation, storeAuth) ??
    enable(storeAuth) ??
    keepPasswords(observation) ??
    removeUsers(observation, storeAuth) ??
    removeRoles(observation, storeAuth)
  );
};

/** Last of all: nothing else waits for it. */
export const authWaits: Rule = ({ observation }) => {
  const { spec, storeAuth } = observation;
  if (spec.auth === undefined || storeAuth === undefined) return undefined;
  for (const { name, roles = [] } of spec.auth.users ?? []) {
    const missing = roles.find((role) => role !== rootRole && !storeAuth.roles.has(role));
    if (missing === undefined) continue;
    return waitFor(
      'RoleMissing',
      `The user ${name} is to have the role ${missing}, which is not there: declare it in auth.roles, or take it from the user.`,
      minutes(1),
    );
  }
  const waiting = (spec.auth.users ?? []).find(
    ({ name }) => isStale(observation, name) && !mayChange(observation, name),
  );
  if (waiting === undefined) return undefined;
  const message = `The new password of ${waiting.name} is in its connection Secret; the store takes it once applications have had time to read it.`;
  return waitFor('ApplicationsReloading', message, observation.reloadMs + minutes(1));
};

function keepRoot(observation: Observation, { users }: StoreAuth): Decision | undefined {
  const user = 'root';
  const roles = users.get(user);
  if (roles === undefined) return change('UserAdded', 'The user root.', { kind: 'addUser', user });
  if (!roles.includes(rootRole)) return grant(user, rootRole);
  if (applied(observation).users[user] === rootDigest(observation)) return undefined;
  return change('PasswordChanged', 'The user root gets the password of its Secret.', {
    kind: 'setPassword',
    user,
  });
}

function keepOperator(
  { access }: Observation,
  { users, enabled }: StoreAuth,
): Decision | undefined {
  const user = operatorUser;
  const roles = users.get(user);
  if (roles === undefined) {
    return change('UserAdded', `The user ${user}, as whom the operator comes.`, {
      kind: 'addUser',
      user,
    });
  }
  if (!roles.includes(rootRole)) return grant(user, rootRole);
  if (!enabled || access.user !== 'root') return undefined;
  const message = `The store did not know the password of ${user}: it is set as root.`;
  return change('PasswordChanged', message, { kind: 'setPassword', user });
}

function keepRoles({ spec }: Observation, storeAuth: StoreAuth): Decision | undefined {
  for (const declared of spec.auth?.roles ?? []) {
    const role = declared.name;
    const present = storeAuth.roles.get(role);
    if (present === undefined) {
      return change('RoleAdded', `The role ${role}.`, { kind: 'addRole', role });
    }
    const wanted = new Map(permissionsOf(declared).map((each) => [rangeOf(each), each]));
    const surplus = present.find((each) => !wanted.has(rangeOf(each)));
    if (surplus !== undefined) {
      const message = `The role ${role} may not use ${surplus.key} any more.`;
      return change('PermissionRevoked', message, {
        kind: 'revokePermission',
        role,
        permission: surplus,
      });
    }
    const has = new Map(present.map((each) => [rangeOf(each), each.access]));
    const missing = [...wanted].find(([range, { access }]) => has.get(range) !== access)?.[1];
    if (missing === undefined) continue;
    const message = `The role ${role} may ${missing.access} from ${missing.key || 'the first key'} on.`;
    return change('PermissionGranted', message, {
      kind: 'grantPermission',
      role,
      permission: missing,
    });
  }
  return undefined;
}

function keepUsers(observation: Observation, storeAuth: StoreAuth): Decision | undefined {
  for (const { name: user, roles: wanted = [] } of observation.spec.auth?.users ?? []) {
    const present = storeAuth.users.get(user);
    if (present === undefined) {
      if (connectionDigest(observation, user) === undefined) continue;
      return change('UserAdded', `The user ${user}.`, { kind: 'addUser', user });
    }
    const surplus = present.find((role) => !wanted.includes(role));
    if (surplus !== undefined) {
      const message = `The user ${user} does not have the role ${surplus} any more.`;
      return change('RoleRevoked', message, { kind: 'revokeRole', user, role: surplus });
    }
    const missing = wanted.find(
      (role) => !present.includes(role) && (role === rootRole || storeAuth.roles.has(role)),
    );
    if (missing !== undefined) return grant(user, missing);
  }
  return undefined;
}

function enable({ enabled }: StoreAuth): Decision | undefined {
  if (enabled) return undefined;
  const message = 'Authentication is on: from now on calls need a user.';
  return change('AuthEnabled', message, { kind: 'enable' });
}

function keepPasswords(observation: Observation): Decision | undefined {
  const user = (observation.spec.auth?.users ?? []).find(
    ({ name }) => isStale(observation, name) && mayChange(observation, name),
  )?.name;
  if (user === undefined) return undefined;
  const message = `The user ${user} gets the password of its connection Secret.`;
  return change('PasswordChanged', message, { kind: 'setPassword', user });
}

/** The store has another password than the connection Secret. */
function isStale(observation: Observation, user: string): boolean {
  const wanted = connectionDigest(observation, user);
  return (
    wanted !== undefined &&
    observation.storeAuth?.users.has(user) === true &&
    applied(observation).users[user] !== wanted
  );
}

/**
 * Applications that are connected go on with their token until the password changes: by then they can read the new one.
 * One that the operator never set may be anything.
 */
function mayChange(observation: Observation, user: string): boolean {
  if (applied(observation).users[user] === undefined) return true;
  const { cluster, secrets, now, reloadMs } = observation;
  const { annotations } = secrets.get(connectionSecretName(cluster, user))?.metadata ?? {};
  const written = Date.parse(annotations?.[writtenAnnotation] ?? '1970-01-01');
  return Date.parse(now) - written >= reloadMs;
}

function removeUsers(observation: Observation, { users }: StoreAuth): Decision | undefined {
  const [user] = removedUsers(observation);
  if (user === undefined) return undefined;
  const connection = removeConnection(observation, user);
  if (connection !== undefined) return connection;
  if (users.has(user)) {
    const message = `The user ${user} is not declared any more.`;
    return change('UserDeleted', message, { kind: 'deleteUser', user });
  }
  const { [user]: _gone, ...others } = applied(observation).users;
  return record(observation, `The user ${user} is gone.`, { users: others });
}

function removeRoles(observation: Observation, { roles }: StoreAuth): Decision | undefined {
  const declared = new Set((observation.spec.auth?.roles ?? []).map(({ name }) => name));
  const made = applied(observation).roles;
  const role = made.find((name) => !declared.has(name));
  if (role === undefined) return undefined;
  if (roles.has(role)) {
    const message = `The role ${role} is not declared any more.`;
    return change('RoleDeleted', message, { kind: 'deleteRole', role });
  }
  const others = made.filter((name) => name !== role);
  return record(observation, `The role ${role} is gone.`, { roles: others });
}

/** `spec.auth` was taken away: authentication ends, then what the operator made for it. */
function takeDown(observation: Observation, storeAuth: StoreAuth): Decision | undefined {
  if (storeAuth.enabled) {
    const message = 'Authentication is off, since spec.auth is gone: everybody may do everything.';
    return change('AuthDisabled', message, { kind: 'disable' });
  }
  const removal = removeUsers(observation, storeAuth) ?? removeRoles(observation, storeAuth);
  if (removal !== undefined) return removal;
  if (storeAuth.users.has(operatorUser)) {
    const message = `The user ${operatorUser} is not needed any more.`;
    return change('UserDeleted', message, { kind: 'deleteUser', user: operatorUser });
  }
  const own = observation.secrets.get(operatorAuthSecretName(observation.cluster));
  if (own === undefined) return undefined;
  const message = `The Secret ${own.metadata.name} is not needed any more.`;
  return act('AccountRemoved', message, { kind: 'deleteSecret', seen: own.metadata });
}

function grant(user: string, role: string): Decision {
  const message = `The user ${user} has the role ${role}.`;
  return change('RoleGranted', message, { kind: 'grantRole', user, role });
}

function change(reason: string, message: string, change: AuthChange): Decision {
  return act(reason, message, { kind: 'changeAuth', change });
}

function record(
  observation: Observation,
  message: string,
  changed: Partial<Applied>,
): Decision | undefined {
  const own = observation.secrets.get(operatorAuthSecretName(observation.cluster));
  if (own === undefined) return undefined;
  const next = { ...applied(observation), ...changed };
  return act('AuthRecorded', message, {
    kind: 'recordApplied',
    applied: next,
    seen: own.metadata,
  });
}

function applied({ cluster, secrets }: Observation): Applied {
  return appliedOf(secrets.get(operatorAuthSecretName(cluster)));
}

function rootDigest({ spec, secrets }: Observation): string | undefined {
  const source = spec.auth?.rootPassword;
  return source && secrets.get(source.name)?.digests[passwordKey(source)];
}

function connectionDigest(observation: Observation, user: string): string | undefined {
  const name = connectionSecretName(observation.cluster, user);
  if (isForeign(observation, name)) return undefined;
  return observation.secrets.get(name)?.digests[passwordEntry];
}
