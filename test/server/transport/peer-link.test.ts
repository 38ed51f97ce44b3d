import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { hostLookup } from '../../../server/base/hosts.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { PeerCounters } from '../../../server/transport/peer-counters.ts';
import { PeerDialer } from '../../../server/transport/peer-dialer.ts';
import { PeerLink } from '../../../server/transport/peer-link.ts';
import { credentialsOf, Log, tlsConfigOf } from './tls-support.ts';

test('a peer whose answer breaks off is dialled again', { timeout: 20_000 }, async (context) => {
  const credentials = credentialsOf(tlsConfigOf('peerTls', {}), new Log());
  const dialer = new PeerDialer({ lookup: hostLookup(undefined), credentials });
  const listener = createServer((socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\nremoved', () => {
      setTimeout(() => socket.destroy(), 50);
    });
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const hello = { clusterId: 1n, from: 1n, to: 2n, incarnation: 'a', expectedIncarnation: '' };
  const refusals: unknown[] = [];
  const link = new PeerLink(
    {
      logger: silentLogger,
      dialer,
      localAddress: undefined,
      counters: new PeerCounters(),
      hello: () => ({ ...hello, urls: [] }),
      meet: () => true,
      refused: (_peer, refusal) => refusals.push(refusal),
    },
    { id: 2n, urls: [`http://127.0.0.1:${(listener.address() as AddressInfo).port}`] },
  );
  context.after(() => {
    link.close();
    dialer.close();
    listener.close();
  });
  for (let times = 0; times < 2; times++) await once(listener, 'connection');
  if (refusals.some((refusal) => refusal !== undefined)) throw new Error('half an answer counts');
});
