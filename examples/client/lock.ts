// Work that only one process may do at a time. ENDPOINTS=host:port,... node dist/examples/client/lock.js
import { Client, type Lock, putOp, textOf } from 'mainstay';

const client = new Client({ endpoints: (process.env['ENDPOINTS'] ?? '127.0.0.1:2379').split(',') });

/** Writes a report as long as the lock is held: the guard makes the store refuse a holder that has lost it. */
async function writeReport(lock: Lock, text: string): Promise<boolean> {
  const { succeeded } = await client.when(lock.guard).do(putOp('report', text)).commit();
  return succeeded;
}

async function work(name: string): Promise<void> {
  const lock = await client.lock('locks/report', { ttlSeconds: 10 });
  try {
    // What is not in the store is given the revision, which grows from holder to holder: it can refuse an older one.
    console.log(`${name} works with fencing revision ${lock.revision}`);
    if (!lock.lost.aborted && (await writeReport(lock, `by ${name}`)))
      console.log(`${name} is done`);
  } finally {
    await lock.unlock();
  }
}

await Promise.all([work('first'), work('second'), work('third')]);
const held = await client.lock('locks/report');
console.log(`tried: ${(await client.tryLock('locks/report')) === undefined ? 'taken' : 'had'}`);
await held.unlock();
console.log(`report: ${textOf((await client.get('report'))?.value)}`);

// One of many leads, and all can see who.
const election = client.election('elections/scheduler');
const leadership = await election.campaign('node-1', { ttlSeconds: 10 });
console.log(`leader: ${textOf((await election.leader())?.value)}`);
await leadership.resign();
client.close();
