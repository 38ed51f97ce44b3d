// `npm run e2e`: the scenarios on localkube, or, with KUBECONFIG, on that cluster with images built for it.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildImage } from '../image/build.ts';
import { knowsRelease } from '../image/release.ts';
import { root } from './definition.ts';
import { compiledReleaseBefore, releaseBefore } from './release-before.ts';

const help = `Plays the scenarios, one after the other, and prints their table.

Usage: npm run e2e [-- [--kill-operator] WORD...]     those in files with one of the words in their path; without, all

  --kill-operator          kill the operator again and again, in the middle of all that it does

Without KUBECONFIG they play on localkube. With it, on that cluster; its services have to be reachable from here.
Images for its nodes are built from this checkout (and from ${releaseBefore.version}, to upgrade from), on a base with this machine's Node:

  MAINSTAY_E2E_LOAD        shell command that loads a docker-archive onto the nodes; the file is its argument $1.
                           For kind: 'kind load image-archive "$1"'
  MAINSTAY_IMAGE, MAINSTAY_IMAGE_BEFORE
                           instead, images that the nodes can get by themselves
  MAINSTAY_E2E_API_STOP, MAINSTAY_E2E_API_START
                           shell commands that take the API server away and bring it back
  MAINSTAY_FULL=1          everything at its whole length; always so on a real cluster
`;

const repository = 'localhost/mainstay';

function main(): number {
  const { values, positionals } = parseArgs({
    options: { help: { type: 'boolean' }, 'kill-operator': { type: 'boolean' } },
    allowPositionals: true,
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const isReal = (process.env['KUBECONFIG'] ?? '') !== '';
  const environment = {
    ...process.env,
    ...(isReal ? { ...provideImages(), MAINSTAY_FULL: '1' } : {}),
    ...(values['kill-operator'] === true ? { MAINSTAY_E2E_KILL_OPERATOR: '1' } : {}),
    MAINSTAY_TEST_FILES_AT_ONCE: '1',
  };
  const words = positionals.length === 0 ? ['e2e/scenarios/'] : positionals.map(withinScenarios);
  const { status } = spawnSync(
    process.execPath,
    ['--enable-source-maps', join(root, 'dist/test/run.js'), ...words],
    { cwd: root, stdio: 'inherit', env: environment },
  );
  return status ?? 1;
}

function withinScenarios(word: string): string {
  return word.startsWith('e2e/') ? word : `e2e/scenarios/${word}`;
}

/** Environment variables that name the images, once the nodes have them. */
function provideImages(): Readonly<Record<string, string>> {
  if (process.env['MAINSTAY_IMAGE'] !== undefined) return {};
  const load = process.env['MAINSTAY_E2E_LOAD'] ?? '';
  if (load === '')
    throw new Error(
      'KUBECONFIG is set: say with MAINSTAY_E2E_LOAD how its nodes get an image (--help)',
    );
  const now = buildAndLoad(load, root);
  if (!knowsRelease(root, releaseBefore.commit)) {
    console.log(
      `This checkout does not reach back to ${releaseBefore.version}: no upgrade is run.`,
    );
    return { MAINSTAY_IMAGE: now };
  }
  const before = buildAndLoad(load, compiledReleaseBefore());
  return { MAINSTAY_IMAGE: now, MAINSTAY_IMAGE_BEFORE: before };
}

function buildAndLoad(load: string, source: string): string {
  const workDirectory = join(root, 'dist/image');
  const output = join(workDirectory, 'mainstay.tar');
  const { tag } = buildImage({ workDirectory, source, repository, base: 'own', output });
  console.log(`Built ${tag} from ${source}, and load it`);
  execFileSync('sh', ['-c', load, 'load', output], { stdio: ['ignore', 'ignore', 'inherit'] });
  return tag;
}

process.exitCode = main();
