import { type Family, gauge, type Sample } from '../base/exposition.ts';
import type { LoadedCertificates } from '../transport/tls-credentials.ts';

/** By listener. */
export interface CertificateSource {
  readonly client: { readonly loaded: LoadedCertificates };
  readonly peer: { readonly loaded: LoadedCertificates };
}

/** What new connections are shown and whom they believe: files that were replaced are read again before it is told. */
export function tlsFamilies({ client, peer }: CertificateSource): Family[] {
  const sides = [
    ['client', client.loaded],
    ['peer', peer.loaded],
  ] as const;
  const ofOwn = (valueOf: (own: NonNullable<LoadedCertificates['own']>) => number): Sample[] =>
    sides.flatMap(([listener, { own }]) =>
      own === undefined ? [] : [{ labels: { listener, serial: own.serial }, value: valueOf(own) }],
    );
  return [
    gauge(
      'mainstay_tls_certificate_expiry_seconds',
      'The unix time when the certificate that a listener shows ends.',
      ofOwn(({ expirySeconds }) => expirySeconds),
    ),
    gauge(
      'mainstay_tls_certificate_lifetime_seconds',
      'How long the certificate that a listener shows is valid, from its beginning to its end.',
      ofOwn(({ lifetimeSeconds }) => lifetimeSeconds),
    ),
    gauge(
      'mainstay_tls_trust_bundle_info',
      'The hash of the file with the certificates that a listener trusts.',
      sides.flatMap(([listener, { trustSha256 }]): Sample[] =>
        trustSha256 === undefined ? [] : [{ labels: { listener, sha256: trustSha256 }, value: 1 }],
      ),
    ),
  ];
}
