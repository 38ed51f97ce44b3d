// `npm run image`: builds the image of the Dockerfile.
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildImage, type ImageOptions, prepareImage, publicBase } from './build.ts';
import type { BuilderName } from './builder.ts';
import { sizeOf } from './size.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const help = `Builds the one image of store, operator and mainstayctl, with buildah, podman or docker.

Usage: npm run image [-- FLAGS]

  --base IMAGE        image with a Node >= 20.19 [${publicBase}]
  --own-base          instead, a base made of this machine's Node and its C libraries: needs no registry
  --node PATH         where Node is in the base [/usr/local/bin/node]
  --musl              the base has musl for its C library, as Alpine has
  --repository NAME   name before the tag [mainstay]; the tag is the version
  --version X.Y.Z     carry this version instead of the package's: something to upgrade to
  --source DIR        another compiled checkout of this project, with its packages installed
  --output FILE       also write the image to a docker-archive
  --storage DIR       keep images there instead of where the machine keeps them (buildah, podman)
  --builder NAME      buildah, podman or docker [the first that is there]
  --prepare-only      only prepare dist/image/context, for \`docker build -f Dockerfile dist/image/context\`
  --help              this text
`;

const string = { type: 'string' } as const;
const boolean = { type: 'boolean' } as const;

function main(): number {
  const { values } = parseArgs({
    options: {
      base: string,
      'own-base': boolean,
      node: string,
      musl: boolean,
      repository: string,
      version: string,
      source: string,
      output: string,
      storage: string,
      builder: string,
      'prepare-only': boolean,
      help: boolean,
    },
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  if (values['own-base'] === true && (values.base !== undefined || values.musl === true))
    throw new Error('--own-base is a base by itself: leave out --base and --musl');
  const options: ImageOptions = {
    workDirectory: join(root, 'dist/image'),
    source: absolute(values.source),
    version: values.version,
    repository: values.repository,
    base: values['own-base'] === true ? 'own' : imageOf(values.base),
    node: values.node,
    libc: values.musl === true ? 'musl' : 'glibc',
    builder: builderName(values.builder),
    storage: absolute(values.storage),
    output: absolute(values.output),
  };
  if (values['prepare-only'] === true) {
    const version = prepareImage(options);
    process.stdout.write(`dist/image/context carries ${version}\n`);
    return 0;
  }
  const { tag } = buildImage(options);
  const context = `${sizeOf(join(options.workDirectory, 'context'))} beside the base`;
  const written =
    options.output === undefined ? '' : `, ${options.output} ${sizeOf(options.output)}`;
  process.stdout.write(`${tag}: ${context}${written}\n`);
  return 0;
}

function imageOf(image: string | undefined): { readonly image: string } | undefined {
  return image === undefined ? undefined : { image };
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(process.env['INIT_CWD'] ?? '', path);
}

function builderName(name: string | undefined): BuilderName | undefined {
  if (name === undefined || name === 'buildah' || name === 'podman' || name === 'docker')
    return name;
  throw new Error(`--builder must be buildah, podman or docker, not "${name}"`);
}

try {
  process.exitCode = main();
} catch (error) {
  const output = (error as { stderr?: Buffer }).stderr?.toString() ?? '';
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${output}`);
  process.exitCode = 1;
}
