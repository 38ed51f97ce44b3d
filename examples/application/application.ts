// An application that mounts its connection Secret. node dist/examples/application/application.js /etc/store
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, textOf } from 'mainstay';

const directory = process.argv[2] ?? '/etc/store';

/** The files of one moment: Kubernetes replaces all of them at once, by turning this link. */
async function read(...names: readonly string[]): Promise<string[]> {
  const moment = await realpath(join(directory, '..data'));
  return Promise.all(names.map((name) => readFile(join(moment, name), 'utf8')));
}

const [endpoints = ''] = await read('endpoints');
const client = new Client({
  endpoints: endpoints.trim().split(','),
  // Asked for each new connection and each new token, so a rotation of certificates or of the password is no event.
  tls: async () => {
    const [ca, cert, key] = await read('ca.crt', 'tls.crt', 'tls.key');
    return { ca, cert, key };
  },
  // While a password changes, the store may still have the one before.
  credentials: async () => {
    const [username = '', password = ''] = await read('username', 'password');
    const [before] = await read('previous-password').catch(() => []);
    const passwords = before === undefined ? [password] : [password, before];
    return passwords.map((each) => ({ username, password: each }));
  },
});

let isStopping = false;
process.once('SIGTERM', () => {
  isStopping = true;
});

let failures = 0;
for (let beat = 1; !isStopping; beat += 1) {
  try {
    await client.put('application/beat', String(beat), { mayRepeat: true });
    const found = await client.get('application/beat');
    if (beat % 10 === 1) console.log(`beat ${textOf(found?.value)}, ${failures} failed`);
  } catch (error) {
    failures += 1;
    console.error(`beat ${beat} failed: ${String(error)}`);
  }
  await sleep(100);
}
client.close();
