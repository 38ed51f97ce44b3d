import { Buffer } from 'node:buffer';

/** Bits of the code of each byte (RFC 7541, appendix B); the 257th is that of EOS, which no string may hold. */
// biome-ignore format: sixteen in a row
export const huffmanCodeBits: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];

const eos = 256;

/** The codes themselves: canonical, so their lengths say all. Shorter ones come first, then the smaller byte. */
export function huffmanCodes(): number[] {
  const codes: number[] = [];
  let code = 0;
  for (let bits = 1; bits <= 30; bits++) {
    for (let symbol = 0; symbol <= eos; symbol++) {
      if (huffmanCodeBits[symbol] === bits) codes[symbol] = code++;
    }
    code <<= 1;
  }
  return codes;
}

// The decoder walks the code's tree four bits at a time: a state is an inner node. No code is shorter than five bits, so
// a step completes one byte at most. An entry holds the next state, the byte, and these:
const emits = 0x1_0000;
const fails = 0x2_0000;

interface Automaton {
  /** By state * 16 + four bits: the next state, `byte << 18`, and the flags above. */
  readonly steps: Int32Array;
  /** Whether a string may end in the state: what is left over is up to seven bits of ones. */
  readonly mayEnd: Uint8Array;
}

/** A node: inner ones are their number, leaves the complement of their symbol. */
type Node = number;

function treeOf(codes: readonly number[]): Array<[Node, Node]> {
  const tree: Array<[Node, Node]> = [[0, 0]];
  for (const [symbol, code] of codes.entries()) {
    let node = 0;
    for (let bit = (huffmanCodeBits[symbol] as number) - 1; bit >= 0; bit--) {
      const side = ((code >>> bit) & 1) as 0 | 1;
      const children = tree[node] as [Node, Node];
      if (bit === 0) children[side] = ~symbol;
      else if (children[side] === 0) children[side] = tree.push([0, 0]) - 1;
      node = children[side];
    }
  }
  return tree;
}

function automatonOf(tree: ReadonlyArray<[Node, Node]>): Automaton {
  const steps = new Int32Array(tree.length * 16);
  for (let state = 0; state < tree.length; state++) {
    for (let four = 0; four < 16; four++) steps[state * 16 + four] = stepOf(tree, state, four);
  }
  const mayEnd = new Uint8Array(tree.length);
  let node: Node = 0;
  for (let ones = 0; ones < 8; ones++) {
    mayEnd[node] = 1;
    node = (tree[node] as [Node, Node])[1];
  }
  return { steps, mayEnd };
}

function stepOf(tree: ReadonlyArray<[Node, Node]>, state: number, four: number): number {
  let node: Node = state;
  let found = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = (tree[node] as [Node, Node])[((four >>> bit) & 1) as 0 | 1];
    if (node >= 0) continue;
    if (~node === eos) return fails;
    found = emits | (~node << 18);
    node = 0;
  }
  return node | found;
}

const { steps, mayEnd } = automatonOf(treeOf(huffmanCodes()));

/** Four bits can end one byte: a string is at most 8/5 of its code. */
let decoded = Buffer.allocUnsafeSlow(1024);

/** The string as latin-1; undefined when it is no Huffman code, or padded wrongly. */
export function huffmanDecoded(bytes: Uint8Array, start: number, end: number): string | undefined {
  if ((end - start) * 2 > decoded.length) decoded = Buffer.allocUnsafeSlow((end - start) * 2);
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    const first = steps[state * 16 + (byte >>> 4)] as number;
    if ((first & emits) !== 0) decoded[length++] = first >>> 18;
    const second = steps[(first & 0xffff) * 16 + (byte & 0xf)] as number;
    if (((first | second) & fails) !== 0) return undefined;
    if ((second & emits) !== 0) decoded[length++] = second >>> 18;
    state = second & 0xffff;
  }
  return mayEnd[state] === 1 ? decoded.toString('latin1', 0, length) : undefined;
}
