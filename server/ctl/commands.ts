import type { CommandSpec } from '../client/ctl/command.ts';
import { memberOnlyCommands } from '../client/ctl/commands.ts';
import { backupCommands } from './backup-commands.ts';
import { mirrorCommand } from './mirror-command.ts';
import { snapshotCommands } from './snapshot-commands.ts';
import { topCommand } from './top-command.ts';
import { transferCommands } from './transfer-commands.ts';
import { versionCommand } from './version.ts';

/** Every command of mainstayctl: the one table. */
export const ctlCommands: readonly CommandSpec[] = [
  ...memberOnlyCommands,
  topCommand,
  ...snapshotCommands,
  mirrorCommand,
  ...transferCommands,
  ...backupCommands,
  versionCommand,
];
