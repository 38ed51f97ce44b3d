/** Paths of the object fields that come more than once in a JSON text (`spec.ports[0].name`), which JSON.parse hides. */
export function duplicateFields(text: string): string[] {
  const found: string[] = [];
  scanValue({ text, position: 0, found }, '');
  return found;
}

interface Scan {
  readonly text: string;
  position: number;
  readonly found: string[];
}

function scanValue(scan: Scan, path: string): void {
  skipSpace(scan);
  const first = scan.text[scan.position];
  if (first === '{') scanObject(scan, path);
  else if (first === '[') scanArray(scan, path);
  else if (first === '"') scanString(scan);
  else
    while (scan.position < scan.text.length && !/[\s,\]}]/.test(scan.text.charAt(scan.position)))
      scan.position += 1;
}

function scanObject(scan: Scan, path: string): void {
  const seen = new Set<string>();
  scan.position += 1;
  while (scan.position < scan.text.length && peek(scan) !== '}') {
    const name = scanString(scan);
    const here = path === '' ? name : `${path}.${name}`;
    if (seen.has(name)) scan.found.push(here);
    seen.add(name);
    peek(scan);
    scan.position += 1;
    scanValue(scan, here);
    if (peek(scan) === ',') scan.position += 1;
  }
  scan.position += 1;
}

function scanArray(scan: Scan, path: string): void {
  scan.position += 1;
  for (let index = 0; scan.position < scan.text.length && peek(scan) !== ']'; index += 1) {
    scanValue(scan, `${path}[${index}]`);
    if (peek(scan) === ',') scan.position += 1;
  }
  scan.position += 1;
}

function scanString(scan: Scan): string {
  const start = scan.position;
  scan.position += 1;
  while (scan.position < scan.text.length && scan.text[scan.position] !== '"') {
    scan.position += scan.text[scan.position] === '\\' ? 2 : 1;
  }
  scan.position += 1;
  return JSON.parse(scan.text.slice(start, scan.position)) as string;
}

function peek(scan: Scan): string | undefined {
  skipSpace(scan);
  return scan.text[scan.position];
}

function skipSpace(scan: Scan): void {
  while (/\s/.test(scan.text.charAt(scan.position))) scan.position += 1;
}
