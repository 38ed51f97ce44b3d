import { Buffer } from 'node:buffer';
import type { Status } from '../api/errors.ts';
import { ResponseField, ResponseFields } from './http2/hpack-encoder.ts';

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

const contentType = new ResponseField('content-type', 'application/grpc', { isRepeated: true });
const statusOk = new ResponseField('grpc-status', '0', { isRepeated: true });
const okTrailers = new ResponseFields([statusOk]);

/** The headers of every response that has a message. */
export const responseHeaders = new ResponseFields([httpStatusField(200), contentType]);

/** The fields that end a call. */
export function trailers(status: Status): ResponseFields {
  return status.code === 0 ? okTrailers : new ResponseFields(statusFields(status));
}

/** A response without a message: headers and trailers in one. */
export function trailersOnly(status: Status, httpStatus = 200): ResponseFields {
  return new ResponseFields([httpStatusField(httpStatus), contentType, ...statusFields(status)]);
}

function httpStatusField(status: number): ResponseField {
  return new ResponseField(':status', String(status), { isRepeated: false });
}

function statusFields({ code, message, retryAfterMs }: Status): ResponseField[] {
  const fields = [code === 0 ? statusOk : once('grpc-status', String(code))];
  if (message !== '') fields.push(once('grpc-message', percentEncoded(message)));
  // What gRPC's own retries wait for (gRFC A6).
  if (retryAfterMs !== undefined) fields.push(once('grpc-retry-pushback-ms', String(retryAfterMs)));
  return fields;
}

function once(name: string, value: string): ResponseField {
  return new ResponseField(name, value, { isRepeated: false });
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
