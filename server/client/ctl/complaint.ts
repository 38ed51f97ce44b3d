import { ClientError, CompactedError } from '../errors.ts';
import { CommandError, ExitStatus, type Terminal } from './command.ts';
import { UsageError } from './flags.ts';

/**
 * Says what went wrong, and what to do next where that is known; the exit status. `isWrite`: whether it may have changed
 * something. Throws what is nobody's fault but this program's.
 */
export function complain(error: unknown, terminal: Terminal, isWrite = false): number {
  if (error instanceof ExitStatus) return error.status;
  if (error instanceof UsageError) {
    terminal.complain(`mainstayctl: ${error.message}\n`);
    return 2;
  }
  if (error instanceof CommandError) {
    terminal.complain(`mainstayctl: ${error.message}\n`);
    return 1;
  }
  if (terminal.signal.aborted) return 1;
  if (!(error instanceof ClientError) && !(error instanceof CompactedError)) throw error;
  terminal.complain(`mainstayctl: ${error.message}\n`);
  const next = nextStep(error, isWrite);
  if (next !== undefined) terminal.complain(`${next}\n`);
  return 1;
}

/** What the server says, and what the person can do about it. */
const nextSteps: readonly (readonly [RegExp, string])[] = [
  [/has been compacted$/, 'That history is gone: leave out --rev, or ask for a newer revision.'],
  [
    /is a future revision$/,
    'The store has not come so far: leave out --rev, or look at the revision of "mainstayctl get KEY -w json".',
  ],
  [/requested lease not found$/, 'Leases that there are: mainstayctl lease list'],
  [/bad leader transferee$/, 'It has to be a voter of this cluster: mainstayctl member list'],
  [/member URLs are invalid$/, 'A peer URL is such as http://10.0.0.4:2380.'],
  [/which is in sync with leader$/, 'It still catches up: try again when it has.'],
  [/member not found$/, 'Members that there are: mainstayctl member list'],
  [/user name not found$/, 'Users that there are: mainstayctl user list'],
  [/role name not found$/, 'Roles that there are: mainstayctl role list'],
  [/user name is empty$/, 'Authentication is on: say who you are with --user NAME:PASSWORD.'],
  [/authentication failed/, 'Is the name right, and the password? --user NAME:PASSWORD'],
  [/permission denied$/, 'What a user may do: mainstayctl user get NAME --detail, as root.'],
  [
    /database space exceeded$/,
    'Make room: mainstayctl compaction REVISION, mainstayctl defrag --cluster, then mainstayctl alarm disarm.',
  ],
  [/root user does not exist$/, 'Make one first: mainstayctl user add root'],
  [/request is too large$/, 'The members take --max-request-bytes, 1.5 MiB by default.'],
];

function nextStep(error: ClientError | CompactedError, isWrite: boolean): string | undefined {
  if (error instanceof CompactedError) {
    return `Watch from revision ${error.compactRevision} or later: --rev ${error.compactRevision}`;
  }
  if (error.text.startsWith('cannot ')) {
    return 'Is a member running there? Name others with --endpoints HOST:PORT,... or MAINSTAYCTL_ENDPOINTS.';
  }
  if (isWrite && error.isUncertain) {
    return 'The request may have taken effect: read what is there before you repeat it.';
  }
  if (error.isUncertain || error.text === 'etcdserver: no leader') {
    return 'An election is under way, or too few members are up. How they are: mainstayctl status';
  }
  return nextSteps.find(([pattern]) => pattern.test(error.text))?.[1];
}
