// Text for a terminal of 80 columns, and for files and pipes the same without colours.

export type Colour = 'green' | 'red' | 'yellow' | 'bold' | 'dim';

const codes: Readonly<Record<Colour, number>> = { green: 32, red: 31, yellow: 33, bold: 1, dim: 2 };

export const columnsMax = 80;

/** Paints text, or leaves it as it is. */
export type Paint = (colour: Colour | undefined, text: string) => string;

export function painter(hasColours: boolean): Paint {
  return (colour, text) =>
    hasColours && colour !== undefined && text !== ''
      ? `\u001b[${codes[colour]}m${text}\u001b[0m`
      : text;
}

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}

const gap = '  ';
const cellMin = 6;

/** Columns as wide as they need to be; where that is too wide, the widest are cut. The first row is the head. */
export function table(rows: readonly (readonly Cell[])[], paint: Paint): string[] {
  const widths = fit(columnWidths(rows));
  return rows.map((row) =>
    row
      .map(({ text, colour }, at) => {
        const width = widths[at] ?? 0;
        const shown = cut(text, width);
        const isLast = at === row.length - 1;
        return paint(colour, shown) + (isLast ? '' : ' '.repeat(width - shown.length));
      })
      .join(gap)
      .trimEnd(),
  );
}

function columnWidths(rows: readonly (readonly Cell[])[]): number[] {
  const [head = []] = rows;
  return head.map((_cell, at) => Math.max(...rows.map((row) => row[at]?.text.length ?? 0)));
}

function fit(widths: readonly number[]): number[] {
  const fitted = [...widths];
  const total = () =>
    fitted.reduce((sum, width) => sum + width, 0) + gap.length * (fitted.length - 1);
  while (total() > columnsMax) {
    const widest = fitted.indexOf(Math.max(...fitted));
    if ((fitted[widest] ?? 0) <= cellMin) return fitted;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
  }
  return fitted;
}

/** With `~` in the middle where it is too long: names differ at their ends. */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  const tail = Math.floor((width - 1) / 2);
  return `${text.slice(0, width - 1 - tail)}~${text.slice(text.length - tail)}`;
}

/** Lines of at most 80 columns, broken between words; a longer word stays whole. */
export function wrap(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && indent.length + line.length + 1 + word.length > columnsMax) {
      lines.push(indent + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, indent + line];
}

/** 45 s, 3 min, 2 h, 5 d. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}
