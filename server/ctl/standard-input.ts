import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

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
const controlD = '\u0004';
const backspaces = ['\u007f', '\b'];

/** What a person types at the terminal, which is not shown. */
export async function askSecret(prompt: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(prompt);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  let secret = '';
  try {
    for await (const text of stdin.iterator({ destroyOnReturn: false })) {
      for (const character of text as string) {
        if (character === controlC) throw new Error('interrupted');
        if (character === '\r' || character === '\n' || character === controlD) return secret;
        secret = backspaces.includes(character) ? secret.slice(0, -1) : secret + character;
      }
    }
    return secret;
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}
