// [io] The DNS domain of the Kubernetes cluster that this process runs in.
import { readFileSync } from 'node:fs';

const fallback = 'cluster.local';

/** A pod's search list names it; elsewhere it is taken to be the usual one. */
export function clusterDomain(path = '/etc/resolv.conf'): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return fallback;
    throw error;
  }
  return domainOf(text);
}

export function domainOf(resolvConf: string): string {
  const search = resolvConf.split('\n').findLast((line) => /^search\s/.test(line)) ?? '';
  const found = search.split(/\s+/).find((each) => /^svc\../.test(each));
  return found?.replace(/^svc\./, '').replace(/\.$/, '') ?? fallback;
}
