import type { Logger } from '../../../server/base/logger.ts';
import type { ObjectApi } from '../api.ts';
import { resourcesOf } from '../custom-resources.ts';
import { refreshBudgets } from '../eviction.ts';
import { collectGarbage } from './garbage.ts';
import { finishDeletions } from './namespaces.ts';

/** Changes are answered together, after this pause. */
const pauseMs = 10;

/**
 * The controllers of a cluster that localkube needs, as one level-triggered sweep after every change: garbage collection,
 * namespace and CRD deletion, claim protection, disruption budgets. The population is small, so each sweep looks at everything.
 */
export class Controllers {
  readonly #api: ObjectApi;
  readonly #logger: Logger;
  readonly #unsubscribe: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(api: ObjectApi, logger: Logger) {
    this.#api = api;
    this.#logger = logger;
    this.#serveCustomResources();
    const definitions = api.resources.builtin('customresourcedefinitions', 'apiextensions.k8s.io');
    this.#unsubscribe = api.store.subscribe(({ storage }) => {
      if (storage === definitions.storage) this.#serveCustomResources();
      this.#schedule();
    });
    this.#schedule();
  }

  stop(): void {
    this.#unsubscribe();
    clearTimeout(this.#timer);
  }

  #serveCustomResources(): void {
    const { resources } = this.#api;
    const definitions = resources.builtin('customresourcedefinitions', 'apiextensions.k8s.io');
    resources.replaceCustom(this.#api.list(definitions).flatMap(resourcesOf));
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sweep();
    }, pauseMs);
  }

  #sweep(): void {
    for (const controller of [collectGarbage, finishDeletions, refreshBudgets]) {
      try {
        controller(this.#api);
      } catch (error) {
        this.#logger.error(
          { error: String(error), controller: controller.name },
          'controller failed',
        );
      }
    }
  }
}
