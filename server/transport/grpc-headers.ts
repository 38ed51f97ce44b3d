import { Buffer } from 'node:buffer';
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Status } from '../api/errors.ts';
import { lingerMs } from '../config/limits.ts';

const msPerUnit: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Milliseconds of a `grpc-timeout` header; Infinity without one, NaN when it is malformed. */
export function timeoutMs(header: string | undefined): number {
  if (header === undefined) return Infinity;
  const [, amount = '', unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  return Number(amount || NaN) * (msPerUnit[unit] ?? NaN);
}

/** The headers that end a call. */
export function trailers({ code, message }: Status): Record<string, string> {
  return message === ''
    ? { 'grpc-status': String(code) }
    : { 'grpc-status': String(code), 'grpc-message': percentEncoded(message) };
}

/** As gRPC's specification wants `grpc-message`: everything but printable ASCII, and `%` itself, as UTF-8 bytes. */
function percentEncoded(text: string): string {
  return text.replaceAll(/[^\x20-\x24\x26-\x7e]+/g, (part) =>
    Array.from(
      Buffer.from(part),
      (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    ).join(''),
  );
}

/** After the end of a call that the client is still sending to: clients then stop, or are made to. */
export function linger(stream: ServerHttp2Stream): void {
  stream.resume();
  const timer = setTimeout(() => {
    stream.close(constants.NGHTTP2_NO_ERROR);
  }, lingerMs).unref();
  stream.once('close', () => {
    clearTimeout(timer);
  });
}
