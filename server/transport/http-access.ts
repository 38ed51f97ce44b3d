/** etcd's `--cors` and `--host-whitelist`. A list that is empty or has a `*` allows everything. */
export interface AccessLists {
  readonly corsOrigins: readonly string[];
  readonly hostWhitelist: readonly string[];
}

/** Who may ask by HTTP, and what a browser is told about it. */
export class AccessControl {
  readonly #lists: AccessLists;

  constructor(lists: AccessLists) {
    this.#lists = lists;
  }

  /**
   * Why a request with this `Host` is refused: in clear anyone's page may send its visitors' browsers here under a name
   * of its own, which is resolved to our address ("DNS rebinding"). TLS checks the name.
   */
  refusal(hostHeader: string, isSecure: boolean): string | undefined {
    const host = withoutPort(hostHeader);
    if (isSecure || allows(this.#lists.hostWhitelist, host)) return undefined;
    return `
Mainstay has received your request, but does not know the host ${JSON.stringify(host)} as one of its own.

Do one of these:
- Enable TLS: then every HTTPS request is allowed.
- Add the host to the whitelist: --host-whitelist ${JSON.stringify(host)}

This is so because of "DNS rebinding" (CVE-2018-5702).
`;
  }

  headers(origin: string | undefined): Array<readonly [name: string, value: string]> {
    const { corsOrigins } = this.#lists;
    const isForAll = corsOrigins.length === 0 || corsOrigins.includes('*');
    if (!isForAll && (origin === undefined || !corsOrigins.includes(origin))) return [];
    return [
      ['Access-Control-Allow-Methods', 'POST, GET, OPTIONS, PUT, DELETE'],
      ['Access-Control-Allow-Origin', isForAll ? '*' : (origin ?? '')],
      ['Access-Control-Allow-Headers', 'accept, content-type, authorization'],
    ];
  }
}

export const allowAllAccess = new AccessControl({ corsOrigins: [], hostWhitelist: [] });

function allows(list: readonly string[], name: string): boolean {
  return list.length === 0 || list.includes('*') || list.includes(name);
}

/** As Go's net.SplitHostPort: what has no port is taken as it is. */
function withoutPort(hostHeader: string): string {
  return (
    /^(?:\[([^[\]]*)\]|([^:[\]]*)):[^:[\]]*$/.exec(hostHeader)?.slice(1).find(Boolean) ?? hostHeader
  );
}
