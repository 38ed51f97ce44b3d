import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { CommandError } from '../client/ctl/command.ts';

/** Lines without their ends, as they come. What stands behind the last end is none: whoever wrote it was cut off. */
export async function* inputLines(
  input: Readable,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const stop = () => {
    input.destroy();
  };
  signal.addEventListener('abort', stop);
  try {
    for await (const chunk of input) {
      rest += decoder.write(chunk as Buffer);
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield line.replace(/\r$/, '');
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

const controlC = '\u0003';
/** Enter, and Ctrl-D. */
const ends = ['\r', '\n', '\u0004'];
const backspaces = ['\u007f', '\b'];

/** A terminal that a person types at. */
export interface Keyboard {
  readonly stdin: Readable & { setRawMode(isRaw: boolean): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** Tells of each key that is pressed, until the result is called: then the terminal is as it was. */
export function keyPresses(
  stdin: Keyboard['stdin'],
): (listener: (key: string) => void) => () => void {
  return (listener) => {
    const tell = (chunk: Buffer) => {
      for (const key of chunk.toString()) listener(key);
    };
    stdin.setRawMode(true);
    stdin.on('data', tell);
    return () => {
      stdin.off('data', tell);
      stdin.setRawMode(false);
      stdin.pause();
    };
  };
}

/** Asks for what a person types without showing it. What was typed ahead is for the next question. */
export function secretPrompt({ stdin, stderr }: Keyboard): (prompt: string) => Promise<string> {
  const decoder = new StringDecoder('utf8');
  let ahead = '';
  return async (prompt) => {
    stderr.write(prompt);
    stdin.setRawMode(true);
    const typed: string[] = [];
    /** Whether the secret is whole. */
    const take = (text: string): boolean => {
      const characters = Array.from(text);
      for (const [at, character] of characters.entries()) {
        if (character === controlC) throw new CommandError('interrupted');
        if (ends.includes(character)) {
          ahead = characters.slice(at + 1).join('');
          return true;
        }
        if (backspaces.includes(character)) typed.pop();
        else typed.push(character);
      }
      ahead = '';
      return false;
    };
    try {
      if (take(ahead)) return typed.join('');
      for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
        if (take(decoder.write(chunk as Buffer))) break;
      }
      return typed.join('');
    } finally {
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
    }
  };
}
