import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BuiltImage, buildImage, prepareImage } from '../../e2e/image/build.ts';
import { ConsoleFiles } from '../../server/transport/console-files.ts';
import { needs } from '../support/tools.ts';
import { onlyWhole } from '../support/whole.ts';
import { Containers } from './containers.ts';

const imageBytesMax = 160_000_000;
const startMsMax = 60_000;
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-image-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

suite('what goes into the image', () => {
  const directory = temporaryDirectory();

  test('programs and what they load, nothing for developers, readable by anyone', () => {
    assert.equal(prepareImage({ workDirectory: directory }), manifest.version);
    const context = join(directory, 'context');
    const files = readdirSync(context, { recursive: true, encoding: 'utf8' });
    const superfluous = files.filter((file) =>
      /\.(ts|map)$|README|\/(typescript|oxlint|fast-check|@types)\//.test(file),
    );
    assert.deepEqual(superfluous, []);
    assert.deepEqual(
      files.filter((file) => /prebuilds\/.*\.node$/.test(file)).length,
      1,
      'LevelDB for one platform',
    );
    assert.deepEqual(new ConsoleFiles(join(context, 'app')).names, new ConsoleFiles().names);
    for (const file of files) {
      const { mode } = statSync(join(context, file));
      assert.equal(mode & 0o444, 0o444, `${file} is readable`);
      if (file !== 'var/lib/mainstay') assert.equal(mode & 0o022, 0, `only root writes ${file}`);
    }
    assert.match(run(context, 'server'), new RegExp(`Mainstay Version: ${manifest.version}\n`));
  });

  test(
    'the same programs under another version, to have something to upgrade to',
    onlyWhole,
    () => {
      assert.equal(prepareImage({ workDirectory: directory, version: '7.8.9' }), '7.8.9');
      assert.match(run(join(directory, 'context'), 'server'), /Mainstay Version: 7\.8\.9\n/);
      assert.throws(
        () => prepareImage({ workDirectory: directory, version: '7.8' }),
        /a version must be x\.y\.z, for example 1\.2\.3, not "7\.8"/,
      );
    },
  );
});

function run(context: string, program: string): string {
  const path = join(context, 'app/dist', program, 'main.js');
  return execFileSync(process.execPath, [path, '--version'], { encoding: 'utf8' });
}

suite('the image', needs('buildah', 'podman', 'runc'), () => {
  const directory = temporaryDirectory();
  const storage = join(directory, 'storage');
  const containers = new Containers(storage);
  after(() => containers.removeAll());
  let image: BuiltImage | undefined;
  const tag = (): string => {
    image ??= buildImage({ workDirectory: directory, base: 'own', builder: 'buildah', storage });
    return image.tag;
  };

  test('is small, and says its version', (context) => {
    const bytes = containers.imageBytes(tag());
    context.diagnostic(`${(bytes / 1_000_000).toFixed(1)} MB with its base`);
    assert.ok(bytes <= imageBytesMax, `${bytes} bytes`);
    assert.equal(tag(), `mainstay:${manifest.version}`);
    assert.match(
      containers.run(tag(), ['--version']),
      new RegExp(`Version: ${manifest.version}\n`),
    );
  });

  test('has the operator and mainstayctl in its PATH', () => {
    const operator = containers.run(tag(), ['--help'], { entrypoint: 'mainstay-operator' });
    assert.match(operator, /The Mainstay operator/);
    const ctl = containers.run(tag(), ['--help'], { entrypoint: 'mainstayctl' });
    assert.match(ctl, /mainstayctl put/);
  });

  test('serves as any uid, without capabilities, on a root that cannot be written', async () => {
    const uid = randomInt(100_000, 1_000_000_000);
    const member = containers.start(tag(), { uid });
    const deadlineMs = performance.now() + startMsMax;
    const ctl = (...args: string[]) => containers.exec(member, ['mainstayctl', ...args]);
    while (!/healthy|leader/i.test(attempt(() => ctl('status')))) {
      if (performance.now() > deadlineMs)
        assert.fail(`the member did not come up: ${containers.logs(member)}`);
      await sleep(200);
    }
    ctl('put', 'greeting', 'hello');
    assert.match(ctl('get', 'greeting'), /hello/);
    const facts = JSON.parse(containers.exec(member, ['node', '-e', askAbout])) as object;
    assert.deepEqual(facts, { uid, capabilities: '0000000000000000', write: 'EROFS' });
    assert.equal(containers.stop(member), 0, 'a signal to stop is obeyed');
  });
});

/** In the container: who runs, with which capabilities, and whether the root can be written. */
const askAbout = `
const { readFileSync, writeFileSync } = require('node:fs');
const capabilities = /CapEff:\\s*(\\w+)/.exec(readFileSync('/proc/1/status', 'utf8'))[1];
let write = 'possible';
try { writeFileSync('/opt/mainstay/x', ''); } catch (error) { write = error.code; }
console.log(JSON.stringify({ uid: process.getuid(), capabilities, write }));
`;

function attempt(ask: () => string): string {
  try {
    return ask();
  } catch (error) {
    return String(error);
  }
}
