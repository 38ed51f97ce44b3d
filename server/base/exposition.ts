import type { Histogram } from './histogram.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number | Histogram;
}

/** All samples of one name. */
export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** One value without labels, or samples. */
type Values = number | Histogram | readonly Sample[];

export function counter(name: string, help: string, values: Values): Family {
  return { name, type: 'counter', help, samples: samplesOf(values) };
}

export function gauge(name: string, help: string, values: Values | boolean): Family {
  const numbers = typeof values === 'boolean' ? Number(values) : values;
  return { name, type: 'gauge', help, samples: samplesOf(numbers) };
}

export function histogram(
  name: string,
  help: string,
  values: Histogram | readonly Sample[],
): Family {
  return { name, type: 'histogram', help, samples: samplesOf(values) };
}

/** A gauge that is always 1: what it says is in its labels. */
export function info(name: string, help: string, labels: Labels): Family {
  return { name, type: 'gauge', help, samples: [{ labels, value: 1 }] };
}

function samplesOf(values: Values): readonly Sample[] {
  return Array.isArray(values) ? values : [{ labels: {}, value: values as number | Histogram }];
}

/** Prometheus' text format 0.0.4. Families without a sample are left out, as prometheus' own libraries do. */
export function exposition(families: readonly Family[]): string {
  const shown = families.filter(({ samples }) => samples.length > 0);
  return shown
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(textOf)
    .join('');
}

function textOf({ name, type, help, samples }: Family): string {
  const head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  return head + samples.map((sample) => sampleText(name, sample)).join('');
}

function sampleText(name: string, { labels, value }: Sample): string {
  if (typeof value === 'number') return line(name, labels, value);
  let count = 0;
  const buckets = value.counts.map((ofBucket, at) => {
    count += ofBucket;
    const le = numberText(value.bounds[at] ?? Infinity);
    return line(`${name}_bucket`, { ...labels, le }, count);
  });
  return (
    buckets.join('') + line(`${name}_sum`, labels, value.sum) + line(`${name}_count`, labels, count)
  );
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  const shown = pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
  return `${name}${shown} ${numberText(value)}\n`;
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
