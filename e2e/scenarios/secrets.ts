import type { Secret } from '../../operator/api/objects.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { entriesOf } from '../../operator/resources/secret-facts.ts';
import type { Environment } from './environment.ts';

/** The Secrets of a scenario, by name. */
export class Secrets {
  readonly #environment: Environment;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  path(name: string): string {
    return objectPath('Secret', { namespace: this.#environment.namespace, name });
  }

  async get(name: string): Promise<ReadonlyMap<string, Buffer>> {
    const found = await this.#environment.kube.get<Secret>(this.path(name));
    if (found === undefined) throw new Error(`there is no Secret ${name}`);
    return entriesOf(found);
  }

  async has(name: string): Promise<boolean> {
    return (await this.#environment.kube.get(this.path(name))) !== undefined;
  }

  async put(name: string, texts: Readonly<Record<string, string>>): Promise<void> {
    const { kube, namespace } = this.#environment;
    const data = Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    );
    if (await this.has(name)) {
      await kube.patch(this.path(name), { data });
      return;
    }
    const metadata = { name, namespace };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata, data } as Secret;
    await kube.create(collectionPath('Secret', namespace), secret);
  }
}
