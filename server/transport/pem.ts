import { Buffer } from 'node:buffer';

/**
 * What the PEM blocks of a kind hold, in order; what is around them does not count. Throws an Error when there is none,
 * or one is cut off: a file that is being written must not pass for a shorter one.
 */
export function pemBlocks(text: string, kind: string): Buffer[] {
  const begins = text.split(`-----BEGIN ${kind}-----`).slice(1);
  if (begins.length === 0) throw new Error(`no PEM block of the kind ${kind}`);
  return begins.map((rest) => {
    const end = rest.indexOf(`-----END ${kind}-----`);
    const base64 = rest.slice(0, Math.max(end, 0)).replaceAll(/\s+/g, '');
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
      throw new Error(`a PEM block of the kind ${kind} is cut off or damaged`);
    }
    return Buffer.from(base64, 'base64');
  });
}

/** A PEM block, with its line break at the end. */
export function pemOf(kind: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes)
    .toString('base64')
    .replaceAll(/(.{64})(?=.)/g, '$1\n');
  return `-----BEGIN ${kind}-----\n${lines}\n-----END ${kind}-----\n`;
}
