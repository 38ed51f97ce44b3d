import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { answer, type HttpExchange } from './http-exchange.ts';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.js': 'text/javascript; charset=utf-8',
};

/**
 * What a browser may do with the page: load what stands beside it, ask the member that it came from, and nothing else.
 * Text can nowhere become markup or a script.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const protection = {
  'Content-Security-Policy': policy,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
} as const;

interface ConsoleFile {
  readonly type: string;
  readonly text: string;
  readonly tag: string;
}

/** The page of `--enable-console`, read once: what is written by hand from the source, scripts as they were compiled. */
export class ConsoleFiles {
  readonly #files: ReadonlyMap<string, ConsoleFile>;

  /** `root` is the package's. Throws when the files are not there. */
  constructor(root: string = join(import.meta.dirname, '../../..')) {
    this.#files = new Map(
      [join(root, 'server/console'), join(root, 'dist/server/console')].flatMap(filesOf),
    );
    if (!this.#files.has('index.html') || !this.#files.has('app.js')) {
      throw new Error(`the files of the console are not below ${root}`);
    }
  }

  get names(): string[] {
    return [...this.#files.keys()].toSorted();
  }

  /** `path` begins with `/console`. */
  serve({ request, response }: HttpExchange, path: string): void {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      const plain = { 'Content-Type': 'text/plain; charset=utf-8', Allow: 'GET, HEAD' };
      return answer(response, 405, { ...protection, ...plain, body: 'Method Not Allowed\n' });
    }
    // Relative, so that it is right behind whatever stands before the member.
    if (path === '/console') {
      return answer(response, 308, { ...protection, Location: 'console/', body: '' });
    }
    const name = path.slice('/console/'.length);
    const file = this.#files.get(name === '' ? 'index.html' : name);
    if (file === undefined) {
      const plain = { 'Content-Type': 'text/plain; charset=utf-8' };
      return answer(response, 404, { ...protection, ...plain, body: '404 page not found\n' });
    }
    const { type, text, tag } = file;
    const headers = { ...protection, 'Cache-Control': 'no-cache', ETag: tag };
    if (request.headers['if-none-match'] === tag) {
      response.writeHead(304, headers);
      response.end();
      return;
    }
    answer(response, 200, { ...headers, 'Content-Type': type, body: text });
  }
}

function filesOf(folder: string): Array<readonly [name: string, file: ConsoleFile]> {
  return readdirSync(folder).flatMap((name) => {
    const type = types[extname(name)];
    if (type === undefined) return [];
    const text = readFileSync(join(folder, name), 'utf8');
    const tag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
    return [[name, { type, text, tag }] as const];
  });
}
