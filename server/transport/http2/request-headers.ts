import type { HeaderField } from './header-field.ts';
import type { FieldSink } from './hpack-decoder.ts';

const pseudoNames = [':method', ':scheme', ':authority', ':path'] as const;
type PseudoName = (typeof pseudoNames)[number];

/** Fields of a connection in HTTP/1.1: in HTTP/2 they make a request malformed (RFC 9113 §8.2.2). */
const connectionNames: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** The headers of one request. */
export class RequestHeaders {
  readonly method: string;
  readonly path: string;
  /** Undefined: the client did not say. */
  readonly authority: string | undefined;
  /** Undefined: the client did not say. */
  readonly contentLength: number | undefined;
  readonly #fields: readonly HeaderField[];

  constructor(pseudo: Readonly<Partial<Record<PseudoName, string>>>, rest: readonly HeaderField[]) {
    this.method = pseudo[':method'] ?? '';
    this.path = pseudo[':path'] ?? '';
    this.authority = pseudo[':authority'];
    this.#fields = rest;
    const length = this.get('content-length');
    this.contentLength = length === undefined ? undefined : Number(length);
  }

  /** In the order that they came in. */
  fields(): readonly HeaderField[] {
    return this.#fields;
  }

  /** The first value under a lower-case name. */
  get(name: string): string | undefined {
    for (const field of this.#fields) {
      if (field.name === name) return field.value;
    }
    return undefined;
  }
}

/** Collects the fields of one block and says what is wrong with them. */
export class RequestHeadersBuilder implements FieldSink {
  readonly #listBytesMax: number;
  #sizeBytes = 0;
  #isMalformed = false;
  #pseudo: Partial<Record<PseudoName, string>> = {};
  #fields: HeaderField[] = [];

  /** `listBytesMax`: our SETTINGS_MAX_HEADER_LIST_SIZE; fields beyond it are not kept. */
  constructor(listBytesMax: number) {
    this.#listBytesMax = listBytesMax;
  }

  get isTooLarge(): boolean {
    return this.#sizeBytes > this.#listBytesMax;
  }

  field(field: HeaderField): void {
    this.#sizeBytes += field.sizeBytes;
    if (this.isTooLarge) return;
    if (field.isMalformed) this.#isMalformed = true;
    if (field.name.startsWith(':')) this.#pseudoField(field);
    else this.#plainField(field);
  }

  #pseudoField({ name, value }: HeaderField): void {
    const isKnown = (pseudoNames as readonly string[]).includes(name);
    const isLate = this.#fields.length > 0;
    const isSecond = this.#pseudo[name as PseudoName] !== undefined;
    if (!isKnown || isLate || isSecond) this.#isMalformed = true;
    else this.#pseudo[name as PseudoName] = value;
  }

  #plainField(field: HeaderField): void {
    const { name, value } = field;
    if (connectionNames.has(name)) this.#isMalformed = true;
    if (name === 'te' && value !== 'trailers') this.#isMalformed = true;
    if (name === 'content-length' && !/^\d{1,15}$/.test(value)) this.#isMalformed = true;
    this.#fields.push(field);
  }

  /** Undefined when they are malformed (RFC 9113 §8.3.1). */
  request(): RequestHeaders | undefined {
    const pseudo = this.#pseudo;
    const isConnect = pseudo[':method'] === 'CONNECT';
    const isComplete = isConnect
      ? pseudo[':scheme'] === undefined && pseudo[':path'] === undefined && pseudo[':authority']
      : pseudo[':method'] && pseudo[':scheme'] && pseudo[':path'];
    if (this.#isMalformed || !isComplete) return undefined;
    return new RequestHeaders(pseudo, this.#fields);
  }

  /** Whether they may stand at a request's end. */
  get areTrailers(): boolean {
    return !this.#isMalformed && Object.keys(this.#pseudo).length === 0;
  }
}
