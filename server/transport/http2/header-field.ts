/** One field of a header list, names and values as latin-1 strings. */
export class HeaderField {
  readonly name: string;
  readonly value: string;
  /** What makes a request malformed (RFC 9113 §8.2.1): upper case, control characters, spaces around the value. */
  readonly isMalformed: boolean;

  constructor(name: string, value: string) {
    this.name = name;
    this.value = value;
    this.isMalformed = !isName(name) || !isValue(value);
  }

  /** As HPACK counts it, in its table and against SETTINGS_MAX_HEADER_LIST_SIZE. */
  get sizeBytes(): number {
    return this.name.length + this.value.length + fieldOverheadBytes;
  }
}

export const fieldOverheadBytes = 32;

const isNameCode = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  isNameCode[character.charCodeAt(0)] = 1;
}

/** A token in lower case, or a pseudo-header. */
function isName(name: string): boolean {
  let at = name.startsWith(':') ? 1 : 0;
  if (at === name.length) return false;
  for (; at < name.length; at++) {
    if (isNameCode[name.charCodeAt(at)] === 0) return false;
  }
  return true;
}

function isValue(value: string): boolean {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code === 0 || code === 10 || code === 13) return false;
  }
  return !isSpace(value.charCodeAt(0)) && !isSpace(value.charCodeAt(value.length - 1));
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9;
}

const staticTable: ReadonlyArray<readonly [name: string, value?: string]> = [
  [':authority'],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language'],
  ['accept-ranges'],
  ['accept'],
  ['access-control-allow-origin'],
  ['age'],
  ['allow'],
  ['authorization'],
  ['cache-control'],
  ['content-disposition'],
  ['content-encoding'],
  ['content-language'],
  ['content-length'],
  ['content-location'],
  ['content-range'],
  ['content-type'],
  ['cookie'],
  ['date'],
  ['etag'],
  ['expect'],
  ['expires'],
  ['from'],
  ['host'],
  ['if-match'],
  ['if-modified-since'],
  ['if-none-match'],
  ['if-range'],
  ['if-unmodified-since'],
  ['last-modified'],
  ['link'],
  ['location'],
  ['max-forwards'],
  ['proxy-authenticate'],
  ['proxy-authorization'],
  ['range'],
  ['referer'],
  ['refresh'],
  ['retry-after'],
  ['server'],
  ['set-cookie'],
  ['strict-transport-security'],
  ['transfer-encoding'],
  ['user-agent'],
  ['vary'],
  ['via'],
  ['www-authenticate'],
];

/** HPACK's static table (RFC 7541, appendix A); the first field has index 1. */
export const staticFields: readonly HeaderField[] = staticTable.map(
  ([name, value]) => new HeaderField(name, value ?? ''),
);

/** The index of the first static field with this name, 0 when there is none. */
export function staticNameIndex(name: string): number {
  return staticFields.findIndex((field) => field.name === name) + 1;
}

/** The index of this very static field, 0 when there is none. */
export function staticFieldIndex(name: string, value: string): number {
  return staticFields.findIndex((field) => field.name === name && field.value === value) + 1;
}
