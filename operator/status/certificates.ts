import { certificatesMax } from '../api/schema.ts';
import type { StoreClusterStatus } from '../api/types.ts';
import type { Observation } from '../observe/observation.ts';
import type { CertificateFacts } from '../resources/secret-facts.ts';
import { givenSecrets } from '../resources/secrets.ts';

export type CertificateRecord = NonNullable<StoreClusterStatus['certificates']>[number];

/** Part of its life that a certificate of a person's has left when they are told: whoever renews it has had two thirds. */
const noticeShare = 1 / 6;

/** Every certificate that this store depends on, its own and those that were given; undefined when there is none. */
export function certificateRecords({
  secrets,
}: Observation): readonly CertificateRecord[] | undefined {
  const records = [...secrets].flatMap(([name, { certificate }]) =>
    certificate === undefined ? [] : [recordOf(name, certificate)],
  );
  if (records.length === 0) return undefined;
  return records.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, certificatesMax);
}

/** The first certificate that a person has to see to; the operator renews its own. */
export function expiringCertificate(observation: Observation): CertificateRecord | undefined {
  const { cluster, secrets, now } = observation;
  const given = givenSecrets(cluster).map(({ name }) => name);
  return given
    .flatMap((name) => {
      const certificate = secrets.get(name)?.certificate;
      const isNear = certificate !== undefined && leftOf(certificate, now) <= noticeShare;
      return isNear ? [recordOf(name, certificate)] : [];
    })
    .sort((a, b) => (a.expires < b.expires ? -1 : 1))
    .at(0);
}

function recordOf(name: string, { notBefore, notAfter }: CertificateFacts): CertificateRecord {
  return { name, begins: notBefore, expires: notAfter };
}

function leftOf({ notBefore, notAfter }: CertificateFacts, now: string): number {
  const [from, to] = [Date.parse(notBefore), Date.parse(notAfter)];
  return (to - Date.parse(now)) / (to - from);
}
