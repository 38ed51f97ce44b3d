import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import { type TlsFlags } from '../client/ctl/command-line.ts';
import { tlsOf } from '../client/ctl/ctl.ts';
import { type Metrics, parseMetrics } from '../console/metrics.ts';

const bytesMax = 16 * 1024 * 1024;

/** What a member counts, from the /metrics of its client URL. Fails when it does not answer in time. */
export function readMetrics(
  endpoint: string,
  { tls, timeoutMs }: { readonly tls: TlsFlags | undefined; readonly timeoutMs: number },
): Promise<Metrics> {
  const scheme = tls === undefined ? 'http' : 'https';
  const url = new URL('/metrics', endpoint.includes('://') ? endpoint : `${scheme}://${endpoint}`);
  const { insecureSkipVerify, ...files } = tls === undefined ? {} : tlsOf(tls);
  const options = { ...files, rejectUnauthorized: insecureSkipVerify !== true, agent: false };
  return new Promise((resolve, reject) => {
    const get = url.protocol === 'https:' ? httpsGet : httpGet;
    const request = get(url, options as object, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > bytesMax) request.destroy(new Error('more metrics than a member has'));
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(parseMetrics(text));
        else reject(new Error(`/metrics answers with ${response.statusCode}`));
      });
    });
    const timer = setTimeout(
      () => request.destroy(new Error('/metrics does not answer')),
      timeoutMs,
    );
    request.on('error', reject);
    request.on('close', () => clearTimeout(timer));
  });
}
