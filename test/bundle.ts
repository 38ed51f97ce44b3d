import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin, stop } from 'esbuild';
import { programs } from './support/programs.ts';

/** Makes each program one file, with the packages that it uses left as they are. */
export async function bundlePrograms(root: string, directory: string): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: programs.map((program) => join(root, 'dist', `${program}.js`)),
    outbase: root,
    outdir: directory,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    sourcemap: true,
    plugins: [ownPlaces],
    logLevel: 'warning',
    write: false,
  });
  await stop();
  for (const { path, contents } of outputFiles) {
    // Another run may be starting this very program.
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents, { mode: 0o755 });
  }
}

/** Every module finds the files beside it where it was, not beside the file that it went into. */
const ownPlaces: Plugin = {
  name: 'own-places',
  setup({ onLoad }) {
    onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8')
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
        .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
        .replaceAll('import.meta.filename', JSON.stringify(path));
      return { contents, resolveDir: dirname(path) };
    });
  },
};
