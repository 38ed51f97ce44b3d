import { clientPort } from '../api/defaults.ts';
import type { StoreCluster } from '../api/types.ts';
import type { Observation } from '../observe/observation.ts';
import { appliedOf } from '../resources/applied.ts';
import { operatorUser, ownSides } from '../resources/certificates.ts';
import { isOurs } from '../resources/labels.ts';
import {
  authoritySecretName,
  clientServiceHost,
  connectionSecretName,
  operatorAuthSecretName,
  schemeOf,
} from '../resources/names.ts';
import type { SecretFacts } from '../resources/secret-facts.ts';
import { type PasswordSource, passwordKey } from '../resources/secrets.ts';
import type { SecretContent, SecretCopy } from './action.ts';
import { act, type Decision, type Rule, stopUntil } from './decision.ts';

/** Entries of a connection Secret. */
export const passwordEntry = 'password';
const previousEntry = 'previous-password';

/** The operator's user of the store: its password is made before it is needed, and known to nobody else. */
export const operatorAccount: Rule = ({ observation: { cluster, secrets, spec } }) => {
  if (spec.auth === undefined) return undefined;
  const name = operatorAuthSecretName(cluster);
  const found = secrets.get(name);
  const missing = ['password', 'salt'].filter((key) => found?.keys.includes(key) !== true);
  if (missing.length === 0) return undefined;
  const content = { name, texts: { username: operatorUser }, copies: [], passwords: missing };
  const message = `The password of the user ${operatorUser} is in the Secret ${name}.`;
  return act('AccountMade', message, { kind: 'writeSecret', content, seen: found?.metadata });
};

/** What applications mount: where the store is, whom to trust, and as whom they come. */
export const connections: Rule = ({ observation }) => {
  const { cluster, spec } = observation;
  const general = keep(observation, { name: connectionSecretName(cluster), user: undefined });
  if (general !== undefined) return general;
  for (const { name: user, password } of spec.auth?.users ?? []) {
    const name = connectionSecretName(cluster, user);
    const decision = keep(observation, { name, user: { name: user, source: password } });
    if (decision !== undefined) return decision;
  }
  return undefined;
};

/** Last of all: a store runs also where somebody has taken the name of what its applications would mount. */
export const connectionsTaken: Rule = ({ observation }) => {
  const name = connectionNames(observation.cluster).find((each) => isForeign(observation, each));
  if (name === undefined) return undefined;
  return stopUntil(
    'NameTaken',
    `The Secret ${name} exists and is not this StoreCluster's: remove it, and the operator writes the connection there.`,
  );
};

export function isForeign({ cluster, secrets }: Observation, name: string): boolean {
  const found = secrets.get(name);
  return found !== undefined && !isOurs(cluster, found);
}

export function connectionNames(cluster: StoreCluster): readonly string[] {
  const users = (cluster.spec.auth?.users ?? []).map(({ name }) => name);
  return [
    connectionSecretName(cluster),
    ...users.map((user) => connectionSecretName(cluster, user)),
  ];
}

/** Users that were declared once, and are not now. */
export function removedUsers({ cluster, secrets, spec }: Observation): readonly string[] {
  const declared = new Set(['root', ...(spec.auth?.users ?? []).map(({ name }) => name)]);
  const applied = appliedOf(secrets.get(operatorAuthSecretName(cluster)));
  return Object.keys(applied.users).filter((user) => !declared.has(user));
}

/** The Secret of a user who is not declared any more goes first: who mounts it sees that. */
export function removeConnection(observation: Observation, user: string): Decision | undefined {
  const found = observation.secrets.get(connectionSecretName(observation.cluster, user));
  if (found === undefined || !isOurs(observation.cluster, found)) return undefined;
  const message = `The user ${user} is not declared any more: the Secret ${found.metadata.name} goes.`;
  return act('ConnectionRemoved', message, { kind: 'deleteSecret', seen: found.metadata });
}

interface Connection {
  readonly name: string;
  readonly user: { readonly name: string; readonly source: PasswordSource | undefined } | undefined;
}

function keep(observation: Observation, connection: Connection): Decision | undefined {
  if (isForeign(observation, connection.name)) return undefined;
  const { cluster, secrets } = observation;
  const found = secrets.get(connection.name);
  const { user } = connection;
  const endpoints = `${schemeOf(cluster.spec.tls?.client)}://${clientServiceHost(cluster)}:${clientPort}`;
  const texts = { endpoints, ...(user === undefined ? {} : { username: user.name }) };
  const sourceOfPassword = user?.source;
  const source = sourceOfPassword && secrets.get(sourceOfPassword.name);
  if (sourceOfPassword !== undefined && !source?.keys.includes(passwordKey(sourceOfPassword))) {
    // What is missing is said at the end, and what there is stays as it is.
    return undefined;
  }
  const inStore = user && appliedOf(secrets.get(operatorAuthSecretName(cluster))).users[user.name];
  const copies = [
    ...trustCopies(observation, found),
    ...passwordCopies(sourceOfPassword, source, { found, inStore }),
  ];
  const isGenerated = user !== undefined && sourceOfPassword === undefined;
  const passwords = isGenerated && !found?.keys.includes(passwordEntry) ? [passwordEntry] : [];
  const isTaken = inStore !== undefined && inStore === found?.digests[passwordEntry];
  const removes =
    isTaken && copies.length === 0 && found.keys.includes(previousEntry) ? [previousEntry] : [];
  const hasTexts = Object.entries(texts).every(([key, text]) => found?.texts[key] === text);
  if (found !== undefined && hasTexts && copies.length + passwords.length + removes.length === 0)
    return undefined;
  const content: SecretContent = { name: connection.name, texts, copies, passwords, removes };
  const whose = user === undefined ? 'of the store' : `of the user ${user.name}`;
  const message = `The connection ${whose} is in the Secret ${connection.name}.`;
  return act('ConnectionWritten', message, { kind: 'writeSecret', content, seen: found?.metadata });
}

/** The CA that clients are to trust, where it is another than the one that stands there. */
function trustCopies(
  { cluster, secrets }: Observation,
  found: SecretFacts | undefined,
): readonly SecretCopy[] {
  const from = ownSides(cluster).includes('client')
    ? authoritySecretName(cluster, 'client')
    : cluster.spec.tls?.client?.secretName;
  const trust = from === undefined ? undefined : secrets.get(from)?.trust;
  if (from === undefined || trust === undefined || trust.sha256 === found?.trust?.sha256) return [];
  return [{ from, key: 'ca.crt', to: 'ca.crt' }];
}

/** While the store has the one before, it stays beside the new one: an application may log in with either. */
function passwordCopies(
  wanted: PasswordSource | undefined,
  source: SecretFacts | undefined,
  present: { readonly found: SecretFacts | undefined; readonly inStore: string | undefined },
): readonly SecretCopy[] {
  if (wanted === undefined) return [];
  const key = passwordKey(wanted);
  const { found, inStore } = present;
  const before = found?.digests[passwordEntry];
  if (source?.digests[key] === before) return [];
  const copy = { from: wanted.name, key, to: passwordEntry };
  if (found === undefined || before === undefined || before !== inStore) return [copy];
  return [{ from: found.metadata.name, key: passwordEntry, to: previousEntry }, copy];
}
