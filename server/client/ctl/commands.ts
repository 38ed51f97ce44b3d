import type { CommandSpec } from './command.ts';
import { completionCommands } from './completion.ts';
import { endpointCommands } from './endpoint.ts';
import { delCommand, getCommand, putCommand } from './kv.ts';
import { leaseCommands } from './lease.ts';
import { lockCommands } from './lock.ts';
import { maintenanceCommands } from './maintenance.ts';
import { memberCommands } from './member.ts';
import { perfCommand } from './perf.ts';
import { roleCommands } from './role.ts';
import { statusCommand } from './status.ts';
import { txnCommand } from './txn.ts';
import { userCommands } from './user.ts';
import { watchCommand } from './watch.ts';

/** The commands that only ask members. */
export const memberOnlyCommands: readonly CommandSpec[] = [
  putCommand,
  getCommand,
  delCommand,
  txnCommand,
  watchCommand,
  ...leaseCommands,
  ...lockCommands,
  statusCommand,
  ...memberCommands,
  ...endpointCommands,
  ...maintenanceCommands,
  perfCommand,
  ...userCommands,
  ...roleCommands,
  ...completionCommands,
];
