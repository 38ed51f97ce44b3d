import type { Socket } from 'node:net';

/** `address:port` of the other side; `unix` where it is a socket of this machine, which has neither. */
export function remoteAddressOf({
  remoteAddress,
  remotePort,
}: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return remoteAddress === undefined ? 'unix' : `${remoteAddress}:${remotePort}`;
}
