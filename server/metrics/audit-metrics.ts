import type { AuditLog } from '../audit/audit-log.ts';
import { counter, type Family, gauge } from '../base/exposition.ts';

/** Whether the audit log is whole. */
export function auditFamilies({
  counters,
  queueBytes,
}: Pick<AuditLog, 'counters' | 'queueBytes'>): Family[] {
  return [
    counter(
      'mainstay_audit_lines_written_total',
      'Lines of the audit log that were written.',
      counters.written,
    ),
    counter(
      'mainstay_audit_lines_dropped_total',
      'Lines of the audit log that are lost: the disk was too slow, or failed for too long.',
      counters.dropped,
    ),
    counter(
      'mainstay_audit_write_failures_total',
      'Attempts to write the audit log that failed.',
      counters.failures,
    ),
    gauge(
      'mainstay_audit_queue_bytes',
      'Lines of the audit log that wait for the disk.',
      queueBytes,
    ),
  ];
}
