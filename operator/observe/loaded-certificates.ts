// [io] Which certificates each member really uses: its own word, on its metrics port.
import { get } from 'node:http';
import { metricsPort } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import type { TlsSide } from '../resources/names.ts';

/** What a member shows and trusts on one port now. */
export interface LoadedCertificate {
  /** Of the certificate that it shows, lower-case hexadecimal. */
  readonly serial: string;
  /** Of the file with those that it trusts; undefined where it asks for no certificates. */
  readonly trust: string | undefined;
}

export type Loaded = Readonly<Partial<Record<TlsSide, LoadedCertificate>>>;

/** Text of the metrics of the member at an address. */
export type ReadMetrics = (address: string) => Promise<string>;

/** By pod name; a member that does not say is absent. */
export async function observeLoaded(
  readMetrics: ReadMetrics,
  pods: readonly Pod[],
): Promise<ReadonlyMap<string, Loaded>> {
  const answers = await Promise.all(
    pods.map(async ({ metadata, status }): Promise<[string, Loaded] | undefined> => {
      const address = status?.podIP ?? '';
      if (address === '') return undefined;
      try {
        return [metadata.name, parseLoaded(await readMetrics(address))];
      } catch {
        // Not answering is an observation, not a failure.
        return undefined;
      }
    }),
  );
  return new Map(answers.filter((answer) => answer !== undefined));
}

export function parseLoaded(text: string): Loaded {
  const labelOf = (metric: string, side: TlsSide, label: string) => {
    const line = new RegExp(`^${metric}\\{[^}]*listener="${side}"[^}]*\\}`, 'm').exec(text)?.[0];
    return new RegExp(`[{,]${label}="([0-9a-f]*)"`).exec(line ?? '')?.[1];
  };
  const sides = (['client', 'peer'] as const).flatMap((side) => {
    const serial = labelOf('mainstay_tls_certificate_expiry_seconds', side, 'serial');
    const trust = labelOf('mainstay_tls_trust_bundle_info', side, 'sha256');
    return serial === undefined ? [] : [[side, { serial, trust }]];
  });
  return Object.fromEntries(sides) as Loaded;
}

const timeoutMs = 2_000;
const bytesMax = 4 * 1024 * 1024;

export const readMetrics: ReadMetrics = (address) =>
  new Promise((resolve, reject) => {
    const host = address.includes(':') ? `[${address}]` : address;
    const signal = AbortSignal.timeout(timeoutMs);
    const request = get(`http://${host}:${metricsPort}/metrics`, { signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > bytesMax) request.destroy(new Error('too many metrics'));
      });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
  });
