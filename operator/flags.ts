import { parseArgs } from 'node:util';
import { imageRepositoryDefault } from './api/defaults.ts';

export interface OperatorFlags {
  readonly kubeconfig: string | undefined;
  readonly namespace: string | undefined;
  readonly leaderElect: boolean;
  readonly leaderElectNamespace: string | undefined;
  readonly leaderElectSeconds: number;
  readonly healthPort: number;
  readonly imageRepository: string;
  readonly reloadSeconds: number;
  readonly workers: number;
  readonly logLevel: string;
}

export const help = `The Mainstay operator: it turns StoreCluster objects into running stores.

Usage: node dist/operator/main.js [flags]

  --kubeconfig FILE              Which Kubernetes to work on. Without it: $KUBECONFIG, then ~/.kube/config,
                                 then the service account of the pod that this runs in.
  --namespace NAME               Look after the StoreClusters of this namespace only. Without it: of all.
  --leader-elect                 Work only while holding the Lease "mainstay-operator". Needed as soon as two of
                                 these processes could run at once, be it for the moment of an update.
  --leader-elect-namespace NAME  Where that Lease is. Without it: --namespace, else that of the kubeconfig, else default.
  --leader-elect-seconds COUNT   How long that Lease is good without a renewal: another may take over then. The holder
                                 stops writing after two thirds of it. Default 15.
  --health-port PORT             Serve /livez, /readyz and /metrics on this port; 0 serves nothing. Default 8081.
  --image-repository NAME        Image before the tag, for stores that name no image. Default ${imageRepositoryDefault}.
  --reload-seconds COUNT         How long applications get to read new passwords and certificates from the Secrets that
                                 they mount, before the store takes the old ones no more. Default 120.
  --workers COUNT                How many StoreClusters are worked on at the same time. Default 4.
  --log-level LEVEL              debug, info, warn or error. Default info. Logs are JSON lines on stdout.
  --help                         This text.

Try it:  kubectl apply -f crds/ && node dist/operator/main.js &
         kubectl apply -f examples/storecluster.yaml && kubectl get storeclusters --watch
`;

export class FlagError extends Error {
  override name = 'FlagError';
}

/** 'help' when that is what was asked for. Throws {@link FlagError} with one clear line. */
export function parseFlags(args: readonly string[]): OperatorFlags | 'help' {
  const values = read(args);
  if (values.help === true) return 'help';
  return {
    kubeconfig: values.kubeconfig,
    namespace: values.namespace,
    leaderElect: values['leader-elect'] ?? false,
    leaderElectNamespace: values['leader-elect-namespace'],
    leaderElectSeconds: integer('leader-elect-seconds', values['leader-elect-seconds'] ?? '15', {
      min: 3,
      max: 600,
    }),
    healthPort: integer('health-port', values['health-port'] ?? '8081', { min: 0, max: 65_535 }),
    imageRepository: values['image-repository'] ?? imageRepositoryDefault,
    reloadSeconds: integer('reload-seconds', values['reload-seconds'] ?? '120', {
      min: 0,
      max: 86_400,
    }),
    workers: integer('workers', values.workers ?? '4', { min: 1, max: 64 }),
    logLevel: logLevel(values['log-level'] ?? 'info'),
  };
}

function read(args: readonly string[]) {
  const string = { type: 'string' } as const;
  const boolean = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      options: {
        kubeconfig: string,
        namespace: string,
        'leader-elect': boolean,
        'leader-elect-namespace': string,
        'leader-elect-seconds': string,
        'health-port': string,
        'image-repository': string,
        'reload-seconds': string,
        workers: string,
        'log-level': string,
        help: boolean,
      },
    }).values;
  } catch (error) {
    throw new FlagError(error instanceof Error ? error.message : String(error));
  }
}

function integer(
  flag: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new FlagError(`--${flag} must be a whole number from ${min} to ${max}, not "${text}"`);
}

function logLevel(text: string): string {
  if (['debug', 'info', 'warn', 'error'].includes(text)) return text;
  throw new FlagError(`--log-level must be debug, info, warn or error, not "${text}"`);
}
