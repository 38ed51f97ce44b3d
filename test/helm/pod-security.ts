import type { Manifest } from './helm.ts';

interface SecurityContext {
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  readonly seccompProfile?: { readonly type?: string };
  readonly procMount?: string;
}

interface Container {
  readonly name: string;
  readonly securityContext?: SecurityContext;
  readonly ports?: readonly { readonly hostPort?: number }[];
}

interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly securityContext?: SecurityContext;
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly Readonly<Record<string, unknown>>[];
}

const volumeKinds = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
];

/** What of the "restricted" Pod Security standard (1.29 and later) a manifest breaks; one without pods breaks nothing. */
export function podSecurityFaults(manifest: Manifest): string[] {
  const pod = podOf(manifest);
  if (pod === undefined) return [];
  const faults = [
    ...(['hostNetwork', 'hostPID', 'hostIPC'] as const)
      .filter((field) => pod[field] === true)
      .map((field) => `${field} is set`),
    ...(pod.volumes ?? []).flatMap((volume) =>
      Object.keys(volume)
        .filter((field) => field !== 'name' && !volumeKinds.includes(field))
        .map((field) => `a volume is a ${field}`),
    ),
    ...[...(pod.initContainers ?? []), ...(pod.containers ?? [])].flatMap((container) =>
      containerFaults(pod, container).map((fault) => `container ${container.name}: ${fault}`),
    ),
  ];
  return faults.map((fault) => `${manifest.kind} ${manifest.metadata.name}: ${fault}`);
}

function podOf(manifest: Manifest): PodSpec | undefined {
  const spec = manifest['spec'] as { template?: { spec?: PodSpec } } | undefined;
  return manifest.kind === 'Pod' ? (spec as PodSpec) : spec?.template?.spec;
}

function containerFaults(pod: PodSpec, { securityContext = {}, ports = [] }: Container): string[] {
  const { allowPrivilegeEscalation, capabilities, privileged, procMount } = securityContext;
  const runAsNonRoot = securityContext.runAsNonRoot ?? pod.securityContext?.runAsNonRoot;
  const runAsUser = securityContext.runAsUser ?? pod.securityContext?.runAsUser;
  const seccomp = (securityContext.seccompProfile ?? pod.securityContext?.seccompProfile)?.type;
  const added = (capabilities?.add ?? []).filter((name) => name !== 'NET_BIND_SERVICE');
  const rules: readonly [boolean, string][] = [
    [privileged === true, 'privileged'],
    [allowPrivilegeEscalation !== false, 'allowPrivilegeEscalation is not false'],
    [runAsNonRoot !== true, 'runAsNonRoot is not true'],
    [runAsUser === 0, 'runAsUser is 0'],
    [!['RuntimeDefault', 'Localhost'].includes(seccomp ?? ''), 'no seccompProfile'],
    [!(capabilities?.drop ?? []).includes('ALL'), 'does not drop ALL capabilities'],
    [added.length > 0, `adds ${added.join(', ')}`],
    [ports.some(({ hostPort = 0 }) => hostPort !== 0), 'has a hostPort'],
    [(procMount ?? 'Default') !== 'Default', 'has another procMount'],
  ];
  return rules.filter(([isBroken]) => isBroken).map(([, fault]) => fault);
}
