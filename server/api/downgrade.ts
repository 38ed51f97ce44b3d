import { EtcdError } from '../base/errors.ts';
import { clusterVersion } from '../config/version.ts';
import {
  DowngradeAction,
  type DowngradeRequest,
  type DowngradeResponse,
} from '../proto/gen/rpc.ts';
import { StatusError } from './errors.ts';
import { header } from './header.ts';
import type { MemberPort } from './member-port.ts';

/**
 * The agreement to go back by one minor version: it is kept and told, as in etcd. What it allows, an older release as a
 * member, is that release's to do.
 */
export async function downgrade(
  port: MemberPort,
  { action, version }: DowngradeRequest,
): Promise<DowngradeResponse> {
  switch (action) {
    case DowngradeAction.VALIDATE:
      await validate(port, minorOf(version));
      break;
    case DowngradeAction.ENABLE: {
      const minor = minorOf(version);
      await validate(port, minor);
      await set(port, `${minor}.0`);
      break;
    }
    case DowngradeAction.CANCEL:
      await port.linearizableRead();
      if (port.downgradeTarget() === '') throw new EtcdError('NoInflightDowngrade');
      await set(port, '');
      break;
    default:
      throw new StatusError('UNKNOWN', 'etcdserver: unknown method');
  }
  return { header: header(port, port.revision()), version: minorOf(clusterVersion) };
}

async function validate(port: MemberPort, minor: string): Promise<void> {
  await port.linearizableRead();
  if (minor !== minorBefore(clusterVersion)) throw new EtcdError('InvalidDowngradeTarget');
  if (port.downgradeTarget() !== '') throw new EtcdError('DowngradeInProgress');
}

async function set(port: MemberPort, targetVersion: string): Promise<void> {
  const { error } = await port.propose({ kind: 'downgradeSet', value: { targetVersion } });
  if (error !== undefined) throw error;
}

/** `3.5` of `3.5` and of `3.5.2-rc.1`. */
function minorOf(version: string): string {
  const [, major, minor] = /^(\d+)\.(\d+)(?:\.\d+(?:-[^+]*)?(?:\+.*)?)?$/.exec(version) ?? [];
  if (major === undefined) throw new EtcdError('WrongDowngradeVersion');
  return `${Number(major)}.${Number(minor)}`;
}

function minorBefore(version: string): string {
  const [major, minor] = version.split('.');
  return `${major}.${Number(minor) - 1}`;
}
