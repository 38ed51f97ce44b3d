import { counter, exposition, type Family } from '../base/exposition.ts';

/** Reads counters that others keep and returns what they are now. */
export type Collector = () => readonly Family[];

/**
 * What `/metrics` shows. Modules keep plain numbers; a collector registered here turns them into families when someone
 * asks, so that counting costs an increment. Nothing is shown twice: two families of one name are a mistake.
 */
export class Registry {
  readonly #collectors: Collector[] = [];
  #scrapes = 0;

  register(collector: Collector): void {
    this.#collectors.push(collector);
  }

  /** Prometheus' text. */
  text(): string {
    this.#scrapes++;
    const families = this.#collectors.flatMap((collect) => collect());
    return exposition([...families, this.#ownFamily()]);
  }

  #ownFamily(): Family {
    const help = 'Total number of scrapes by HTTP status code.';
    const labels = { code: '200' };
    return counter('promhttp_metric_handler_requests_total', help, [
      { labels, value: this.#scrapes },
    ]);
  }
}
