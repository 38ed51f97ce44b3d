import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

// Test files of one folder in one process, one after the other: to load what they share takes longer than most of them do.
// Whole clusters run in other folders' tests, whose files go side by side.

const grouped = /^dist\/test\/(server|operator)\//;

/** The files to run in place of these, in their order; those that stand for a folder are made in `directory`. */
export function groupByFolder(
  root: string,
  files: readonly string[],
  directory: string,
): readonly string[] {
  const entries = new Map<string, string[]>();
  for (const file of files) {
    const isGrouped = grouped.test(relative(root, file));
    const entry = isGrouped ? join(directory, groupName(root, file)) : file;
    entries.set(entry, [...(entries.get(entry) ?? []), file]);
  }
  mkdirSync(directory, { recursive: true });
  for (const [entry, members] of entries) {
    if (entry !== members[0]) writeFileSync(entry, groupText(root, members));
  }
  return [...entries.keys()];
}

function groupName(root: string, file: string): string {
  return `${relative(root, dirname(file)).split('/').slice(2).join('-')}.js`;
}

/** Hooks that a file has for all its tests are then for no other's. */
function groupText(root: string, files: readonly string[]): string {
  const suites = files.map((file) => {
    const [name, url] = [sourceOf(root, file), pathToFileURL(file).href].map((each) =>
      JSON.stringify(each),
    );
    return `suite(${name}, async () => {\n  await import(${url});\n});\n`;
  });
  return `import { suite } from 'node:test';\n\n${suites.join('')}`;
}

/** Of a compiled test file, below `root`. */
export function sourceOf(root: string, file: string): string {
  return relative(root, file)
    .replace(/^dist\//, '')
    .replace(/\.js$/, '.ts');
}
