import { Buffer } from 'node:buffer';
import { headerListBytesMax, streamWindowBytes } from '../../config/limits.ts';
import { windowBytesDefault, windowBytesMax } from './flow-control.ts';
import { ConnectionError, framePayloadBytesMax, uint32At, writeUint32 } from './frames.ts';

const Setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

const settingBytes = 6;

/** The payload of our SETTINGS. */
export function ownSettings(streamsMax: number): Buffer {
  return payloadOf([
    [Setting.MAX_CONCURRENT_STREAMS, streamsMax],
    [Setting.INITIAL_WINDOW_SIZE, streamWindowBytes],
    [Setting.MAX_HEADER_LIST_SIZE, headerListBytesMax],
  ]);
}

function payloadOf(settings: ReadonlyArray<readonly [id: number, value: number]>): Buffer {
  const payload = Buffer.alloc(settings.length * settingBytes);
  for (const [at, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, at * settingBytes);
    writeUint32(payload, at * settingBytes + 2, value);
  }
  return payload;
}

/** What the client has told of itself, as far as it matters to us: we never push, nor send larger frames than the smallest limit. */
export interface ClientSettings {
  headerTableBytes: number;
  initialWindowBytes: number;
  headerListBytesMax: number;
}

export const clientSettingsDefault: Readonly<ClientSettings> = {
  headerTableBytes: 4096,
  initialWindowBytes: windowBytesDefault,
  headerListBytesMax: Infinity,
};

/** Takes over what a SETTINGS frame says. Throws a ConnectionError when it must not say so. */
export function readSettings(
  settings: ClientSettings,
  payload: { readonly bytes: Uint8Array; readonly start: number; readonly end: number },
): void {
  const { bytes, start, end } = payload;
  if ((end - start) % settingBytes !== 0) {
    throw new ConnectionError('FRAME_SIZE_ERROR', 'SETTINGS of a broken size');
  }
  for (let at = start; at < end; at += settingBytes) {
    const id = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    readSetting(settings, id, uint32At(bytes, at + 2));
  }
}

function readSetting(settings: ClientSettings, id: number, value: number): void {
  switch (id) {
    case Setting.HEADER_TABLE_SIZE:
      settings.headerTableBytes = value;
      return;
    case Setting.ENABLE_PUSH:
      if (value > 1) throw new ConnectionError('PROTOCOL_ERROR', 'SETTINGS_ENABLE_PUSH');
      return;
    case Setting.INITIAL_WINDOW_SIZE:
      if (value > windowBytesMax) {
        throw new ConnectionError('FLOW_CONTROL_ERROR', 'SETTINGS_INITIAL_WINDOW_SIZE');
      }
      settings.initialWindowBytes = value;
      return;
    case Setting.MAX_FRAME_SIZE:
      if (value < framePayloadBytesMax || value > 0xff_ffff) {
        throw new ConnectionError('PROTOCOL_ERROR', 'SETTINGS_MAX_FRAME_SIZE');
      }
      return;
    case Setting.MAX_HEADER_LIST_SIZE:
      settings.headerListBytesMax = value;
  }
}
