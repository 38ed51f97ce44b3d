import { realKubeconfig } from './real-cluster.ts';

/** Why the API server cannot be taken away here; false when it can. */
export function skipWithoutApiServerControl(): string | false {
  if (realKubeconfig() === undefined || apiServerCommands() !== undefined) return false;
  return 'MAINSTAY_E2E_API_STOP and MAINSTAY_E2E_API_START do not say how to stop this API server';
}

/** Shell commands that stop and start the API server of `KUBECONFIG`. */
export function apiServerCommands(): { readonly stop: string; readonly start: string } | undefined {
  const stop = process.env['MAINSTAY_E2E_API_STOP'] ?? '';
  const start = process.env['MAINSTAY_E2E_API_START'] ?? '';
  return stop === '' || start === '' ? undefined : { stop, start };
}
