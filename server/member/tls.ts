import { hostLookup } from '../base/hosts.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import { isSelfSigned, type TlsConfig, warnOfIgnoredTls } from '../config/tls.ts';
import { PeerDialer } from '../transport/peer-dialer.ts';
import { withSelfSigned } from '../transport/self-signed.ts';
import { TlsCredentials } from '../transport/tls-credentials.ts';

/** What a member shows and believes, with certificates made where the flags ask for that. Throws TlsError when they cannot be used. */
export function tlsOf(
  { logger }: { logger: Logger },
  config: Config,
): { client: TlsCredentials; peer: TlsCredentials; dialer: PeerDialer } {
  const { clientTls, peerTls, listenClientUrls, listenPeerUrls, dataDir } = config;
  warnOfIgnoredTls({ logger, config: clientTls }, '', listenClientUrls);
  warnOfIgnoredTls({ logger, config: peerTls }, 'peer-', listenPeerUrls);
  if (clientTls.isAuto && !isSelfSigned(clientTls)) {
    logger.warn({}, 'ignoring client auto TLS since certs given');
  }
  if (peerTls.isAuto && !isSelfSigned(peerTls)) {
    logger.warn({}, 'ignoring peer auto TLS since certs given');
  }
  const fixtures = `${dataDir}/fixtures`;
  const client = credentials(clientTls, logger, {
    directory: `${fixtures}/client`,
    listenUrls: listenClientUrls,
  });
  const peer = credentials(peerTls, logger, {
    directory: `${fixtures}/peer`,
    listenUrls: listenPeerUrls,
  });
  const lookup = hostLookup(process.env['MAINSTAY_HOSTS_FILE']);
  return { client, peer, dialer: new PeerDialer({ lookup, credentials: peer }) };
}

function credentials(
  config: TlsConfig,
  logger: Logger,
  place: Parameters<typeof withSelfSigned>[2],
): TlsCredentials {
  const isMade = isSelfSigned(config);
  const used = isMade ? withSelfSigned({ logger }, config, place) : config;
  return new TlsCredentials({ logger }, { config: used, isSelfSigned: isMade });
}
