import { inspect } from 'node:util';
import fc from 'fast-check';

/** `compare` resolves with what differs, for a person, or with undefined. */
export interface Property<Operation> {
  readonly sequences: fc.Arbitrary<Operation[]>;
  readonly runs: number;
  readonly compare: (operations: readonly Operation[]) => Promise<string | undefined>;
}

/**
 * Checks random sequences, prints the seed and the time they took, and fails with the shortest sequence that still
 * differs. MAINSTAY_SEED and MAINSTAY_PATH replay one: the failure prints both.
 */
export async function checkSequences<Operation>(property: Property<Operation>): Promise<void> {
  const seed = Number(process.env['MAINSTAY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const path = process.env['MAINSTAY_PATH'];
  const startMs = performance.now();
  let operationCount = 0;
  let fault: unknown;
  const outcome = await fc.check(
    fc.asyncProperty(property.sequences, async (operations) => {
      // Not a difference but a store that has died, or a fault of the test: there is nothing to shrink.
      if (fault !== undefined) return;
      operationCount += operations.length;
      const difference = await property.compare(operations).catch((error: unknown) => {
        fault = error;
        throw error;
      });
      if (difference !== undefined) throw new Error(difference);
    }),
    { numRuns: property.runs, seed, ...(path === undefined ? {} : { path }) },
  );
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const extent = `${outcome.numRuns} sequences, ${operationCount} operations, ${seconds} s`;
  console.log(`seed ${seed}: ${extent}`);
  if (outcome.counterexample !== null) {
    throw new Error(
      [
        fault === undefined ? 'the shortest sequence that differs:' : 'during this sequence:',
        ...outcome.counterexample[0].map((operation) => `  ${short(operation)}`),
        fault === undefined ? String(outcome.errorInstance) : inspect(fault),
        `replay: MAINSTAY_SEED=${seed} MAINSTAY_PATH=${outcome.counterexamplePath}`,
      ].join('\n'),
    );
  }
}

/** One line, bytes that are no text escaped. */
export function short(value: unknown): string {
  return inspect(value, { breakLength: Infinity, depth: 12, maxStringLength: 100, compact: true });
}
