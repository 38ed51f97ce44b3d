import type { MemberProcess } from '../support/server-process.ts';

/** What an HTTP client sees of a probe. */
export interface ProbeAnswer {
  readonly status: number;
  readonly contentType: string | null;
  readonly allow: string | null;
  readonly body: string;
}

export async function ask(
  { clientUrl }: MemberProcess,
  path: string,
  method = 'GET',
): Promise<ProbeAnswer> {
  const response = await fetch(`${clientUrl}${path}`, { method });
  return {
    status: response.status,
    contentType: response.headers.get('content-type'),
    allow: response.headers.get('allow'),
    body: comparableBody(await response.text()),
  };
}

/** etcd names the checks in no order; what it says of a failed read has a prefix from 3.6 on. */
function comparableBody(body: string): string {
  return body.replaceAll('range error: ', '').split('\n').toSorted().join('\n');
}
