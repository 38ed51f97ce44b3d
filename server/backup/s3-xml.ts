import type { ListedObject } from './target.ts';

// The few things that S3 says in XML. Servers agree on the elements, and on nothing else.

export interface Listing {
  readonly objects: readonly ListedObject[];
  /** To ask for the rest with; undefined at the end. */
  readonly next: string | undefined;
}

export function listingIn(body: Buffer): Listing {
  const text = body.toString('utf8');
  const objects = elements(text, 'Contents').map((each) => ({
    name: inside(each, 'Key') ?? '',
    sizeBytes: Number(inside(each, 'Size') ?? 0),
    modifiedMs: Date.parse(inside(each, 'LastModified') ?? '') || 0,
  }));
  const isCut = inside(text, 'IsTruncated') === 'true';
  return { objects, next: isCut ? inside(text, 'NextContinuationToken') : undefined };
}

/** An upload that was begun and neither ended nor given up. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly id: string;
  readonly startedMs: number;
}

export function uploadsIn(body: Buffer): UnfinishedUpload[] {
  return elements(body.toString('utf8'), 'Upload').map((each) => ({
    key: inside(each, 'Key') ?? '',
    id: inside(each, 'UploadId') ?? '',
    startedMs: Date.parse(inside(each, 'Initiated') ?? '') || 0,
  }));
}

export function textIn(body: Buffer, name: string): string | undefined {
  return inside(body.toString('utf8'), name);
}

function elements(text: string, name: string): string[] {
  const pattern = new RegExp(`<${name}>(.*?)</${name}>`, 'gs');
  return [...text.matchAll(pattern)].map(([, content = '']) => content);
}

function inside(text: string, name: string): string | undefined {
  const [content] = elements(text, name);
  return content?.replace(/&(#x?[0-9a-fA-F]+|[a-z]+);/g, entity);
}

const named: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

function entity(whole: string, word: string): string {
  const [, hex, digits] = /^#(?:x([0-9a-fA-F]+)|(\d+))$/.exec(word) ?? [];
  if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
  if (digits !== undefined) return String.fromCodePoint(Number(digits));
  return named[word] ?? whole;
}
