import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { load } from 'js-yaml';
import type { KubeObject } from '../../operator/api/objects.ts';
import type { HttpKubeClient } from '../../operator/kube/client.ts';

export const root = fileURLToPath(new URL('../../../', import.meta.url));
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** Applies all of `crds/`, and waits until the API server serves them. */
export async function applyDefinitions(kube: HttpKubeClient): Promise<void> {
  for (const file of readdirSync(join(root, 'crds'))) {
    const definition = load(readFileSync(join(root, 'crds', file), 'utf8')) as KubeObject;
    const path = `${definitions}/${definition.metadata.name}`;
    const { resourceVersion } = (await kube.get<KubeObject>(path))?.metadata ?? {};
    const metadata = { ...definition.metadata, ...(resourceVersion && { resourceVersion }) };
    await kube.apply(path, { ...definition, metadata });
    while (!isEstablished(await kube.get<Definition>(path)))
      await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

interface Definition {
  readonly status?: {
    readonly conditions?: ReadonlyArray<{ readonly type: string; readonly status: string }>;
  };
}

function isEstablished(definition: Definition | undefined): boolean {
  return (definition?.status?.conditions ?? []).some(
    ({ type, status }) => type === 'Established' && status === 'True',
  );
}
