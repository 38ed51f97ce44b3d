import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

// Test files of one folder in one process, one after the other: to load what they share takes longer than most of them do.
// Elsewhere most of them wait for clusters: there, files go side by side.

const grouped = /^dist\/test\/(server|operator)\//;

/** The files to run in place of these: first those that stand for a folder, which are made in `directory`. */
export function groupByFolder(
  root: string,
  files: readonly string[],
  directory: string,
): readonly string[] {
  const groups = new Map<string, string[]>();
  const others: string[] = [];
  for (const file of files) {
    if (!grouped.test(relative(root, file))) {
      others.push(file);
      continue;
    }
    const group = join(directory, groupName(root, file));
    groups.set(group, [...(groups.get(group) ?? []), file]);
  }
  mkdirSync(directory, { recursive: true });
  for (const [group, members] of groups) writeFileSync(group, groupText(root, members));
  // What takes longest begins first.
  return [...groups.keys(), ...others];
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
