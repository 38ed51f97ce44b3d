// RFC 9113 §5.2: each side of a connection, and each side of a stream, has a window of bytes of DATA.

/** A window beyond it is an error of who enlarged it. */
export const windowBytesMax = 0x7fff_ffff;
/** Before anybody says otherwise. */
export const windowBytesDefault = 65_535;

/** What the client may still send us. */
export class ReceiveWindow {
  readonly #sizeBytes: number;
  #leftBytes: number;
  #unannouncedBytes = 0;

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
    this.#leftBytes = sizeBytes;
  }

  /** False when the client had no right to send so much. */
  received(bytes: number): boolean {
    this.#leftBytes -= bytes;
    return this.#leftBytes >= 0;
  }

  /** So much of what was received is done with. Returns by how much the client is to be told to enlarge the window, mostly 0. */
  consumed(bytes: number): number {
    this.#unannouncedBytes += bytes;
    if (this.#unannouncedBytes < this.#sizeBytes / 2) return 0;
    const increment = this.#unannouncedBytes;
    this.#leftBytes += increment;
    this.#unannouncedBytes = 0;
    return increment;
  }
}

/** What we may still send to the client: of a stream, or of all together. */
export class SendWindow {
  /** Negative after the client has made it smaller. */
  leftBytes: number;

  constructor(sizeBytes: number) {
    this.leftBytes = sizeBytes;
  }

  /** False when it would become too large. */
  enlarge(bytes: number): boolean {
    this.leftBytes += bytes;
    return this.leftBytes <= windowBytesMax;
  }
}
