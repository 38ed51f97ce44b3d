import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, before, mock, suite, test } from 'node:test';
import { AssertionError } from '../../../server/base/assert.ts';
import { hostLookup } from '../../../server/base/hosts.ts';
import type { Message } from '../../../server/raft/messages.ts';
import { encodeParts } from '../../../server/transport/message-codec.ts';
import { PeerDialer } from '../../../server/transport/peer-dialer.ts';
import { frameHead } from '../../../server/transport/peer-frames.ts';
import { helloHeaders, peerProtocol } from '../../../server/transport/peer-hello.ts';
import { PeerNetwork, type PeerService } from '../../../server/transport/peer-network.ts';
import type { PeerQuestion } from '../../../server/transport/peer-question.ts';
import { credentialsOf, Log, tlsConfigOf } from './tls-support.ts';

const hello = { clusterId: 1n, from: 2n, to: 1n, incarnation: 'a', expectedIncarnation: '' };
const heartbeat: Message = {
  kind: 'heartbeat',
  from: 2n,
  to: 1n,
  term: 1,
  commit: 0,
  commitTerm: 0,
  readId: 0,
};

const log = new Log();
const stepped: Message[] = [];
const asked: PeerQuestion[] = [];
let step = (message: Message): void => void stepped.push(message);
let network: PeerNetwork;
let port: number;

before(async () => {
  const credentials = credentialsOf(tlsConfigOf('peerTls', {}), log);
  const dialer = new PeerDialer({ lookup: hostLookup(undefined), credentials });
  const service: Partial<PeerService> = {
    meet: () => true,
    hello: () => ({ ...hello, from: 1n, to: 2n, urls: [] }),
    accept: async () => undefined,
    step: (message) => step(message),
    answer: async (question) => {
      asked.push(question);
      return { ttl: 7 };
    },
  };
  network = new PeerNetwork({ service: service as PeerService, logger: log, dialer, credentials });
  const [address] = (await network.listen(['http://127.0.0.1:0'])) as [AddressInfo];
  port = address.port;
});

after(() => network.close());

async function ask(body: string): Promise<string> {
  const url = `http://127.0.0.1:${port}/mainstay/ask`;
  const response = await fetch(url, { method: 'POST', body, headers: { connection: 'close' } });
  return `${response.status} ${await response.text()}`;
}

async function linked(): Promise<Socket> {
  const headers = helloHeaders({ ...hello, urls: [] });
  const upgrade = { ...headers, connection: 'Upgrade', upgrade: peerProtocol };
  const dialled = request({ host: '127.0.0.1', port, path: '/mainstay/peer', headers: upgrade });
  dialled.end();
  const [, socket] = (await once(dialled, 'upgrade')) as [unknown, Socket];
  return socket;
}

function framed(message: Message): Buffer {
  const parts = encodeParts(message);
  return Buffer.concat([frameHead(parts), ...parts]);
}

suite('what a peer asks', () => {
  test('a question, and nothing that is none', async () => {
    assert.equal(await ask('{"kind":"renewLease","leaseId":"12"}'), '200 {"ttl":7}');
    assert.deepEqual(asked, [{ kind: 'renewLease', leaseId: '12' }]);
    for (const text of [
      '',
      'null',
      '{}',
      '{"kind":"other"}',
      '{"kind":"promote"}',
      '{"kind":"leaseTimeToLive","leaseId":"x"}',
      '{"kind":"hash","revision":-1}',
    ]) {
      assert.equal(await ask(text), '400 not a question of this version\n', text);
    }
    assert.equal(asked.length, 1);
  });

  test('one that does not come whole ends its connection', async () => {
    const socket = connect(port, '127.0.0.1');
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      socket.write('POST /mainstay/ask HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{');
      // Whenever the head has been read.
      const closed = once(socket.on('error', () => {}).resume(), 'close');
      let isClosed = false;
      void closed.then(() => {
        isClosed = true;
      });
      while (!isClosed) {
        mock.timers.tick(1_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      mock.timers.reset();
    }
  });

  test('a peer of a release that does not know the question is not capable of it', async () => {
    network.setPeers([{ id: 3n, urls: [`http://127.0.0.1:${port}`] }]);
    const later = { kind: 'of a later release' } as unknown as PeerQuestion;
    await assert.rejects(network.ask(3n, later), { error: 'NotCapable' });
    network.setPeers([]);
  });
});

suite('messages of a peer', () => {
  test('what is malformed ends the connection, after what came before it', async () => {
    const socket = await linked();
    const broken = framed(heartbeat);
    broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
    socket.write(Buffer.concat([framed(heartbeat), broken]));
    await once(socket.resume(), 'close');
    assert.deepEqual(stepped, [heartbeat]);
    assert.match(log.lines.at(-1) ?? '', /^closed a peer connection: malformed message/);
  });

  test('a fault of ours is none of the message', async () => {
    const socket = await linked();
    const logged = log.lines.length;
    const failed = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
    step = () => {
      throw new AssertionError('log: gap');
    };
    socket.write(framed(heartbeat));
    const error = await failed;
    process.setUncaughtExceptionCaptureCallback(null);
    assert(error instanceof AssertionError);
    assert.deepEqual(log.lines.slice(logged), []);
    socket.destroy();
  });
});
