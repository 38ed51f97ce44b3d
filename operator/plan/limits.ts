/** How long a wait may last before it is reported as stuck. */
export function minutes(count: number): number {
  return count * 60_000;
}
