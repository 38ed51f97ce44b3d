import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';

const timeoutMs = 2_000;

/**
 * Whether a store answers at an address, by a connection of its own. The address of a Service takes a moment to lead to
 * its pods, and who connects too early may stay connected to something else.
 */
export async function leadsToStore(endpoint: string, isTls: boolean): Promise<boolean> {
  const { hostname, port } = new URL(endpoint);
  return isTls ? speaksTls(hostname, Number(port)) : saysItsVersion(hostname, Number(port));
}

function saysItsVersion(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host, port, path: '/version', agent: false, timeout: timeoutMs } as const;
    const request = get(options, (response) => {
      text(response).then(
        (body) => resolve(body.includes('etcdserver')),
        () => resolve(false),
      );
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', () => resolve(false));
  });
}

/** Who it is, the client checks. */
function speaksTls(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, rejectUnauthorized: false, timeout: timeoutMs });
    const end = (isSo: boolean) => {
      socket.destroy();
      resolve(isSo);
    };
    socket.once('secureConnect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}
