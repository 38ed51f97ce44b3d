import { type Command, CommandError } from '../client/ctl/command.ts';
import { BoltDamageError } from '../snapshot/bolt-reader.ts';
import { SnapshotChecksumError } from '../snapshot/snapshot-file.ts';

/** What can be wrong with files, and what else `isExpected`, in one line for the person; any other error as it is. */
export function fileFailure(
  { line }: Command,
  error: unknown,
  isExpected: (error: Error) => boolean,
): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof BoltDamageError || error instanceof SnapshotChecksumError) {
    const path = line.text('from-snapshot') ?? line.operands[0];
    return new CommandError(`${path}: ${error.message}`, { cause: error });
  }
  if (!('syscall' in error) && !isExpected(error)) return error;
  return new CommandError(error.message, { cause: error });
}
