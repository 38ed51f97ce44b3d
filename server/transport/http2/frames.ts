// RFC 9113's numbers, and the nine bytes before every frame.

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const Flag = {
  END_STREAM: 0x1,
  /** Of SETTINGS and PING. */
  ACK: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

export const frameHeaderBytes = 9;
/** What a frame may carry unless its receiver allows more; we neither allow nor send more. */
export const framePayloadBytesMax = 16_384;
/** Stream ids are odd numbers below 2^31. */
export const streamIdMax = 0x7fff_ffff;

/** What the client did ends its connection. `message` is the debug data of GOAWAY. */
export class ConnectionError extends Error {
  override name = 'ConnectionError';
  readonly code: keyof typeof ErrorCode;

  constructor(code: keyof typeof ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface FrameHead {
  readonly type: FrameType;
  readonly flags: number;
  readonly streamId: number;
  readonly payloadBytes: number;
}

/** Returns where the payload begins. */
export function writeFrameHead(target: Uint8Array, at: number, head: FrameHead): number {
  const { type, flags, streamId, payloadBytes } = head;
  target[at] = payloadBytes >>> 16;
  target[at + 1] = payloadBytes >>> 8;
  target[at + 2] = payloadBytes;
  target[at + 3] = type;
  target[at + 4] = flags;
  return writeUint32(target, at + 5, streamId);
}

export function uint32At(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

/** Returns the position after it. */
export function writeUint32(target: Uint8Array, at: number, value: number): number {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
  return at + 4;
}
