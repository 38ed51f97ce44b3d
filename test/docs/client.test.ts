import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TestCluster } from '../support/server-process.ts';

// The examples of the client run, and docs/CLIENT.md shows nothing that does not.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);

const expected: Readonly<Record<string, RegExp>> = {
  'service-discovery': /^10\.0\.0\.1:80\n10\.0\.0\.1:80 10\.0\.0\.2:80\n10\.0\.0\.1:80\n$/,
  lock: /^(?:(?<name>\w+) works with fencing revision \d+\n\k<name> is done\n){3}tried: taken\nreport: by \w+\nleader: node-1\n$/,
  'live-configuration':
    /^begins with \{ 'log-level': 'info' \}\nchanged at \+1: \{ 'log-level': 'debug', workers: '4' \}\nchanged at \+2: \{.* workers: '8' \}\nchanged at \+3: \{ 'log-level': 'warn', workers: '8' \}\n$/,
};

suite('the examples', { timeout: 120_000 }, () => {
  let cluster: TestCluster | undefined;
  before(async () => {
    cluster = await TestCluster.start({ program: 'mainstay' });
  });
  after(() => cluster?.stop());

  for (const [name, output] of Object.entries(expected)) {
    test(name, async () => {
      const script = join(root, 'dist/examples/client', `${name}.js`);
      const env = { ...process.env, ENDPOINTS: cluster?.endpoints.join(',') };
      const { stdout, stderr } = await run(process.execPath, [script], { env, timeout: 60_000 });
      // It has ended by itself: nothing was left open.
      assert.match(stdout, output);
      assert.equal(stderr, '');
    });
  }

  test('each has its test', () => {
    const names = readdirSync(join(root, 'examples/client')).map((file) => file.replace('.ts', ''));
    assert.deepEqual(names.toSorted(), Object.keys(expected).toSorted());
  });
});

test('what docs/CLIENT.md shows compiles against the package', { timeout: 120_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-docs-'));
  try {
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(root, join(directory, 'node_modules/mainstay'));
    symlinkSync(join(root, 'node_modules/@types'), join(directory, 'node_modules/@types'));
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
    const text = readFileSync(join(root, 'docs/CLIENT.md'), 'utf8');
    const blocks = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, block = '']) => block);
    assert(blocks.length > 5);
    const files = blocks.map((block, at) => {
      const file = join(directory, `block-${at}.ts`);
      writeFileSync(file, `${preamble(block)}${block}\nexport {};\n`);
      return file;
    });
    const wrong = join(directory, 'wrong.ts');
    writeFileSync(wrong, "import { Client } from 'mainstay';\nnew Client({ endpoints: 5 });\n");
    const tsc = join(root, 'node_modules/.bin/tsc');
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2023'];
    const paths = [...files, wrong].map((path) => basename(path));
    const compiled = run(tsc, [...options, '--types', 'node', ...paths], { cwd: directory });
    const { stdout } = await compiled.then(
      () => assert.fail('a mistake was not noticed: the package has no types'),
      (error: { stdout: string }) => error,
    );
    assert.match(stdout, /^wrong\.ts\(2,\d+\): error TS2322: .*\n(  .*\n)*$/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** What the text before a block says is there already. */
function preamble(block: string): string {
  const exported = [
    ...readFileSync(join(root, 'server/client/public.ts'), 'utf8').matchAll(/export \{(.*?)\}/gs),
  ]
    .flatMap(([, names = '']) => names.split(','))
    .map((name) => name.replace('type ', '').trim())
    .filter((name) => name !== '');
  const imported = /import \{[^}]*\} from 'mainstay'/s.test(block);
  if (imported) return '';
  const used = exported.filter((name) => new RegExp(`\\b${name}\\b`).test(block));
  const names = [...new Set(['Client', ...used])].join(', ');
  return `import { ${names} } from 'mainstay';\ndeclare const client: Client;\n`;
}
