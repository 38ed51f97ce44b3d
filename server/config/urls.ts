/** The parts of `scheme://host:port`; an IPv6 host without its brackets. */
export interface UrlParts {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
}

const form = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:/?#[\]@\s]*)):(\d{1,5})$/;
const schemes = new Set(['http', 'https', 'unix', 'unixs']);

/** Why a text is no URL of a member; the texts are etcd's (client/pkg/types/urls.go). */
export class UrlError extends Error {
  override name = 'UrlError';
}

/** Throws {@link UrlError}. */
export function parseUrl(text: string): UrlParts {
  const [, scheme = '', rest = ''] = /^([^:/]*):\/\/(.*)$/s.exec(text) ?? [];
  if (!schemes.has(scheme)) {
    throw new UrlError(`URL scheme must be http, https, unix, or unixs: ${text}`);
  }
  if (scheme.startsWith('unix')) return { scheme, host: rest, port: 0 };
  const slash = rest.search(/[/?#]/);
  const match = form.exec(slash < 0 ? rest : rest.slice(0, slash));
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new UrlError(`URL address does not have the form "host:port": ${text}`);
  }
  if (slash >= 0) throw new UrlError(`URL must not contain a path: ${text}`);
  return { scheme, host: match[1] ?? match[2] ?? '', port };
}

/** One member's URLs: checked, trimmed and sorted as etcd sorts them. Throws {@link UrlError}. */
export function memberUrls(texts: readonly string[]): string[] {
  if (texts.length === 0) throw new UrlError('no valid urls given');
  const urls = texts.map((text) => text.trim());
  for (const url of urls) parseUrl(url);
  return urls.toSorted();
}

/** What to bind for a listen URL; `localhost` is IPv4's, as it is for etcd. */
export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

export function listenAddress(url: string): ListenAddress {
  const { scheme, host, port } = parseUrl(url);
  if (scheme.startsWith('unix')) return { path: host };
  return { host: host === 'localhost' ? '127.0.0.1' : host, port };
}
