import { AuditLog, type AuditSink } from '../audit/audit-log.ts';
import { Auditor } from '../audit/auditor.ts';
import { RotatedFile } from '../audit/rotated-file.ts';
import { AuditRules } from '../audit/rules.ts';
import { StandardOutput } from '../audit/standard-output.ts';
import { hexId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { AuditConfig } from '../config/audit.ts';
import { UsageError } from '../config/flags.ts';
import { mainstayVersion } from '../config/version.ts';
import type { LocalMember } from './local-member.ts';
import { nodeClock } from './node-ports.ts';

/** The audit log of a member that serves. */
export interface MemberAudit {
  readonly log: AuditLog;
  readonly auditor: Auditor;
  /** Writes down the end, as the last line. */
  close(): Promise<void>;
}

export function beginAudit(
  modules: { readonly member: LocalMember; readonly logger: Logger; readonly sink: AuditSink },
  config: AuditConfig,
): MemberAudit {
  const { member, logger, sink } = modules;
  const { whenFull } = config;
  const log = new AuditLog({ sink, clock: nodeClock, logger }, { whenFull });
  const rules = new AuditRules(config.rules);
  const leaseKeys = (id: bigint): readonly Uint8Array[] => member.leaseKeys(id);
  const auditor = new Auditor({ log, rules, clock: nodeClock, leaseKeys }, hexId(member.memberId));
  auditor.begin({ version: mainstayVersion, name: member.name, whenFull });
  return {
    log,
    auditor,
    close: async () => {
      auditor.end();
      await log.close();
    },
  };
}

/** Rejects with a UsageError when the file cannot be written: a member that shall write down what is done does nothing then. */
export async function openAuditSink(config: AuditConfig): Promise<AuditSink> {
  if (config.path === '-') return new StandardOutput({ clock: nodeClock });
  try {
    return await RotatedFile.open(config);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--audit-log-path: the file cannot be written: ${reason}`);
  }
}
