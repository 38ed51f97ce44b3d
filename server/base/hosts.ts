import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns';
import { readFileSync, statSync } from 'node:fs';
import { isIP, type LookupFunction } from 'node:net';

/**
 * A `lookup` for `net.connect` that asks a file of lines `IP name name...` before the system's resolver. The file is read
 * again when it has changed, and a missing file knows no name. Without a path: the system's resolver alone.
 */
export function hostLookup(hostsFile: string | undefined): LookupFunction {
  if (hostsFile === undefined || hostsFile === '') return systemLookup as LookupFunction;
  const hosts = new HostsFile(hostsFile);
  return (hostname, options, callback) => {
    const known = matching(hosts.addressesOf(hostname), options);
    if (known.length === 0) {
      (systemLookup as LookupFunction)(hostname, options, callback);
    } else {
      process.nextTick(answer, known, options, callback);
    }
  };
}

type Answer = Parameters<LookupFunction>[2];

function answer(known: LookupAddress[], options: LookupOptions, callback: Answer): void {
  const first = known[0];
  if (options.all === true || first === undefined) callback(null, known);
  else callback(null, first.address, first.family);
}

function matching(addresses: readonly LookupAddress[], options: LookupOptions): LookupAddress[] {
  const family = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : options.family;
  return addresses.filter((known) => !family || known.family === family);
}

class HostsFile {
  readonly #path: string;
  #stamp = '';
  #names = new Map<string, LookupAddress[]>();

  constructor(path: string) {
    this.#path = path;
  }

  addressesOf(hostname: string): readonly LookupAddress[] {
    this.#refresh();
    return this.#names.get(hostname.toLowerCase()) ?? [];
  }

  #refresh(): void {
    const stat = statSync(this.#path, { throwIfNoEntry: false });
    const stamp = stat === undefined ? '' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
    if (stamp === this.#stamp) return;
    this.#names = stat === undefined ? new Map() : parseHosts(readFileSync(this.#path, 'utf8'));
    this.#stamp = stamp;
  }
}

/** Names are case-insensitive; `#` starts a comment; a line whose first word is no IP address is skipped. */
export function parseHosts(text: string): Map<string, LookupAddress[]> {
  const names = new Map<string, LookupAddress[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...hostnames] = line.replace(/#.*/, '').trim().split(/\s+/);
    const family = isIP(address);
    if (family === 0) continue;
    for (const hostname of hostnames) {
      const key = hostname.toLowerCase();
      names.set(key, [...(names.get(key) ?? []), { address, family }]);
    }
  }
  return names;
}
