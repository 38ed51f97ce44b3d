/** The candidate that is the fewest typing errors away; undefined when none is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const errorsMax = Math.max(2, Math.floor(word.length / 3));
  let best: string | undefined;
  let fewest = errorsMax + 1;
  for (const candidate of candidates) {
    const isBeginning = word.length > 2 && candidate.startsWith(word);
    const errors = isBeginning ? 1 : typingErrors(word, candidate);
    if (errors >= fewest) continue;
    fewest = errors;
    best = candidate;
  }
  return best;
}

/** Letters to insert, delete, replace or swap with their neighbour: the distance of Damerau and Levenshtein. */
function typingErrors(from: string, to: string): number {
  const rows: number[][] = [];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 0; i <= from.length; i++) {
    const row: number[] = [];
    rows.push(row);
    for (let j = 0; j <= to.length; j++) {
      if (i === 0 || j === 0) {
        row.push(i + j);
        continue;
      }
      const isSame = from[i - 1] === to[j - 1];
      const isSwapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      const least = [at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (isSame ? 0 : 1)];
      if (isSwapped) least.push(at(i - 2, j - 2) + 1);
      row.push(Math.min(...least));
    }
  }
  return at(from.length, to.length);
}
