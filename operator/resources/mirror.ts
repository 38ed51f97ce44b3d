import { createHash } from 'node:crypto';
import type { CompleteSpec } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import type { StoreCluster, StoreClusterSpec } from '../api/types.ts';
import {
  childLabels,
  clusterUidLabel,
  mirrorLabel,
  ownerReference,
  templateAnnotation,
} from './labels.ts';
import type { SecretFacts } from './secret-facts.ts';
import type { GivenSecret } from './secrets.ts';
import { buildToolPod, secretMount, storeReach, tlsFlags, tmpMount, userEnv } from './tool-pod.ts';

// A store that begins as the mirror of another one: a pod that follows the source, and one that cuts over from it.

type MirrorFrom = NonNullable<NonNullable<StoreClusterSpec['bootstrap']>['mirrorFrom']>;

const sourceTlsPath = '/etc/mainstay/source-tls';
/** How often the follower says how far it is. */
const toldEvery = '2s';
/** How long nothing may have been written at the source. */
const stillFor = '5s';

export function mirrorFromOf({ bootstrap }: StoreClusterSpec): MirrorFrom | undefined {
  return bootstrap?.mirrorFrom;
}

export function followerPodName({ metadata }: StoreCluster): string {
  return `${metadata.name}-mirror`;
}

export function cutOverPodName({ metadata }: StoreCluster): string {
  return `${metadata.name}-cut-over`;
}

/** Secrets of a person's that lead to the source. */
export function mirrorSecrets(spec: StoreClusterSpec): readonly GivenSecret[] {
  const { tls, user } = mirrorFromOf(spec) ?? {};
  return [
    ...(tls === undefined
      ? []
      : [
          {
            name: tls.secretName,
            keys: ['ca.crt'],
            purpose: 'that bootstrap.mirrorFrom.tls names',
          },
        ]),
    ...(user === undefined
      ? []
      : [
          {
            name: user.secretName,
            keys: ['username', 'password'],
            purpose: 'that bootstrap.mirrorFrom.user names',
          },
        ]),
  ];
}

type Facts = ReadonlyMap<string, SecretFacts>;

/** Goes on for ever, and where it was when it is started again. */
export function buildFollowerPod(
  cluster: StoreCluster,
  spec: CompleteSpec,
  source: MirrorFrom,
  secrets: Facts,
): Pod {
  const own = [`--interval=${toldEvery}`];
  const name = followerPodName(cluster);
  return buildMirrorPod({ cluster, spec, source, secrets }, { name, own, restartPolicy: 'Always' });
}

/** Ends once nothing writes to the source and both sides are equal, and then has ended the mirror. */
export function buildCutOverPod(
  cluster: StoreCluster,
  spec: CompleteSpec,
  source: MirrorFrom,
  secrets: Facts,
): Pod {
  const own = ['--cut-over', `--still=${stillFor}`];
  const name = cutOverPodName(cluster);
  return buildMirrorPod(
    { cluster, spec, source, secrets },
    { name, own, restartPolicy: 'OnFailure' },
  );
}

/** Whether this is not the pod that would be made now: Secrets that it has mounted have new contents, for example. */
export function isMirrorOutdated(pod: Pod, wanted: Pod): boolean {
  const of = ({ metadata }: Pod) => metadata.annotations?.[templateAnnotation];
  return of(pod) !== of(wanted);
}

interface Settings {
  readonly cluster: StoreCluster;
  readonly spec: CompleteSpec;
  readonly source: MirrorFrom;
  readonly secrets: Facts;
}

function buildMirrorPod(
  { cluster, spec, source, secrets }: Settings,
  of: {
    readonly name: string;
    readonly own: readonly string[];
    readonly restartPolicy: 'OnFailure' | 'Always';
  },
): Pod {
  const reach = storeReach(cluster);
  const { prefix, destPrefix, tls, user } = source;
  const has = (key: string) => secrets.get(tls?.secretName ?? '')?.keys.includes(key) === true;
  const hasCertificate = has('tls.crt') && has('tls.key');
  const file = (key: string, isThere: boolean) => (isThere ? `${sourceTlsPath}/${key}` : undefined);
  const labels = childLabels(cluster);
  const pod = buildToolPod(cluster, spec, {
    name: of.name,
    owner: ownerReference(cluster),
    labels: {
      [mirrorLabel]: cluster.metadata.name,
      [clusterUidLabel]: labels[clusterUidLabel] ?? '',
    },
    component: 'mirror',
    command: 'mirror',
    args: [
      reach.endpoint,
      ...tlsFlags(reach, 'dest-'),
      `--endpoints=${source.endpoints.join(',')}`,
      ...tlsFlags({
        cacert: file('ca.crt', tls !== undefined),
        cert: file('tls.crt', hasCertificate),
        key: file('tls.key', hasCertificate),
      }),
      ...(prefix === undefined ? [] : [`--prefix=${literal(prefix)}`]),
      ...(destPrefix === undefined ? [] : destPrefixFlags(destPrefix)),
      ...of.own,
      '--write-out=json',
    ],
    env: [
      ...userEnv('MAINSTAYCTL', user?.secretName),
      ...userEnv('MAINSTAYCTL_DEST', reach.userSecret),
    ],
    mounts: [
      tmpMount,
      ...reach.mounts,
      ...secretMount('source-tls', tls?.secretName, sourceTlsPath),
    ],
    // A transaction of the source is kept whole, and several are read ahead.
    memory: { heap: 384, request: 128, limit: 512 },
    restartPolicy: of.restartPolicy,
  });
  return stamped(pod, secrets);
}

function destPrefixFlags(destPrefix: string): readonly string[] {
  return destPrefix === '' ? ['--no-dest-prefix'] : [`--dest-prefix=${literal(destPrefix)}`];
}

/** Kubernetes takes `$(NAME)` for a variable, and `$$` for a dollar. */
function literal(text: string): string {
  return text.replaceAll('$', () => '$$');
}

/** With the fingerprint of all that it is made of, the certificates included: what was read once is not read again. */
function stamped(pod: Pod, secrets: Facts): Pod {
  const mounted = (pod.spec['volumes'] as readonly { secret?: { secretName: string } }[]).flatMap(
    ({ secret }) => secret?.secretName ?? [],
  );
  const contents = mounted.map((name) => {
    const { certificate, trust } = secrets.get(name) ?? {};
    return [certificate?.serial, trust?.sha256];
  });
  const text = JSON.stringify([pod, contents]);
  const fingerprint = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const annotations = { [templateAnnotation]: fingerprint };
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}
