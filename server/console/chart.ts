import { h, setText, svg } from './dom.ts';
import { timeText } from './format.ts';

export interface Series<Point> {
  readonly name: string;
  readonly valueOf: (point: Point) => number | undefined;
}

export interface ChartOptions<Point> {
  readonly title: string;
  /** What the numbers are of, in small print. */
  readonly note: string;
  readonly series: readonly Series<Point>[];
  readonly format: (value: number) => string;
  /** Of what the steps of the scale are powers; 1024 for bytes. */
  readonly base?: 10 | 1024;
  readonly pointsMax: number;
  readonly timeOf: (point: Point) => number;
}

const width = 600;
const height = 150;

/** Lines over time, newest at the right. Pointing at it, or the arrow keys, tell the values of one moment. */
export class Chart<Point> {
  readonly element: HTMLElement;
  readonly #options: ChartOptions<Point>;
  readonly #paths: readonly SVGPathElement[];
  readonly #area = svg('path', { class: 'area series-0' });
  readonly #cursor = svg('line', { class: 'cursor', y1: 0, y2: height });
  readonly #values: readonly HTMLElement[];
  readonly #scale: readonly HTMLElement[];
  readonly #moment = h('span', { class: 'moment' });
  readonly #start = h('span');
  readonly #note: HTMLElement;
  readonly #plot: HTMLElement;
  #points: readonly Point[] = [];
  /** Which point is told; undefined: the newest. */
  #at: number | undefined;

  constructor(options: ChartOptions<Point>) {
    this.#options = options;
    this.#paths = options.series.map((_, index) => svg('path', { class: `line series-${index}` }));
    this.#values = options.series.map(() => h('span', { class: 'value' }));
    this.#scale = [h('span'), h('span'), h('span')];
    this.#note = h('p', { class: 'chart-note' }, options.note);
    const picture = svg(
      'svg',
      { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      ...[0, 0.5, 1].map((part) =>
        svg('line', { class: 'grid', x1: 0, x2: width, y1: part * height, y2: part * height }),
      ),
      this.#area,
      ...this.#paths,
      this.#cursor,
    );
    this.#plot = h('div', { class: 'plot', tabindex: 0, role: 'img' }, picture);
    this.#listen();
    this.element = this.#assembled();
  }

  update(points: readonly Point[], note = this.#options.note): void {
    this.#points = points;
    setText(this.#note, note);
    this.#draw();
    this.#tell();
  }

  #assembled(): HTMLElement {
    const { title, series } = this.#options;
    const legend = series.map(({ name }, index) =>
      h(
        'li',
        {},
        h('span', { class: `mark series-${index}`, 'aria-hidden': 'true' }),
        h('span', { class: 'name' }, name),
        this.#values[index],
      ),
    );
    return h(
      'section',
      { class: 'card chart', 'aria-label': title },
      h('header', {}, h('h3', {}, title), this.#moment),
      h('ul', { class: 'legend' }, ...legend),
      h(
        'div',
        { class: 'plot-row' },
        h('div', { class: 'scale', 'aria-hidden': 'true' }, ...this.#scale),
        this.#plot,
      ),
      h('div', { class: 'times', 'aria-hidden': 'true' }, this.#start, h('span', {}, 'now')),
      this.#note,
    );
  }

  #listen(): void {
    const plot = this.#plot;
    plot.addEventListener('pointermove', (event) => {
      const { left, width: widthPx } = plot.getBoundingClientRect();
      this.#choose(
        Math.round(((event.clientX - left) / widthPx) * (this.#slots - 1)) - this.#offset,
      );
    });
    plot.addEventListener('pointerleave', () => this.#choose(undefined));
    plot.addEventListener('blur', () => this.#choose(undefined));
    plot.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.#choose((this.#at ?? this.#points.length - 1) + step);
    });
  }

  /** At first the lines fill the chart; later it moves. */
  get #slots(): number {
    return Math.min(this.#options.pointsMax, Math.max(30, this.#points.length));
  }

  get #offset(): number {
    return this.#slots - this.#points.length;
  }

  #choose(at: number | undefined): void {
    const last = this.#points.length - 1;
    this.#at = at === undefined || at > last || last < 0 ? undefined : Math.max(0, at);
    this.#tell();
  }

  #draw(): void {
    const { series, format, base = 10 } = this.#options;
    const values = series.map(({ valueOf }) => this.#points.map(valueOf));
    const max = roundMax(
      Math.max(0, ...values.flat().filter((value) => value !== undefined)),
      base,
    );
    for (const [index, label] of this.#scale.entries())
      setText(label, format(max * (1 - index / 2)));
    const lines = values.map((each) => this.#runs(each, max));
    for (const [index, path] of this.#paths.entries()) {
      path.setAttribute(
        'd',
        (lines[index] ?? []).map((run) => `M${run.map(pair).join('L')}`).join(''),
      );
    }
    this.#area.setAttribute('d', (lines[0] ?? []).map(areaBelow).join(''));
    setText(this.#start, this.#startText());
  }

  /** The time at the left edge: as long as the points do not reach it, by how far they are apart. */
  #startText(): string {
    const { timeOf } = this.#options;
    const [first, last] = [this.#points[0], this.#points.at(-1)];
    if (first === undefined || last === undefined || first === last) return '';
    const stepMs = (timeOf(last) - timeOf(first)) / (this.#points.length - 1);
    return timeText(new Date(timeOf(first) - this.#offset * stepMs));
  }

  /** Where nothing is known, the line has a gap. */
  #runs(
    values: readonly (number | undefined)[],
    max: number,
  ): Array<Array<readonly [number, number]>> {
    const runs: Array<Array<readonly [number, number]>> = [];
    let run: Array<readonly [number, number]> = [];
    for (const [index, value] of values.entries()) {
      if (value === undefined) {
        run = [];
        continue;
      }
      if (run.length === 0) runs.push(run);
      run.push([this.#x(index), height - (value / max) * (height - 2) - 1]);
    }
    return runs;
  }

  #x(index: number): number {
    return ((index + this.#offset) / (this.#slots - 1)) * width;
  }

  #tell(): void {
    const { series, format, title, timeOf } = this.#options;
    const index = this.#at ?? this.#points.length - 1;
    const point = this.#points[index];
    const texts = series.map(({ valueOf }) => {
      const value = point === undefined ? undefined : valueOf(point);
      return value === undefined ? '–' : format(value);
    });
    for (const [position, output] of this.#values.entries()) setText(output, texts[position] ?? '');
    const isChosen = this.#at !== undefined && point !== undefined;
    setText(this.#moment, isChosen ? timeText(new Date(timeOf(point))) : '');
    this.#cursor.classList.toggle('shown', isChosen);
    const x = String(this.#x(index));
    this.#cursor.setAttribute('x1', x);
    this.#cursor.setAttribute('x2', x);
    const told = series.map(({ name }, position) => `${name} ${texts[position]}`).join(', ');
    this.#plot.setAttribute('aria-label', `${title}: ${told}`);
  }
}

function pair([x, y]: readonly [number, number]): string {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

function areaBelow(run: ReadonlyArray<readonly [number, number]>): string {
  const [first, last] = [run[0], run.at(-1)];
  if (first === undefined || last === undefined || run.length < 2) return '';
  return `M${first[0].toFixed(1)} ${height}L${run.map(pair).join('L')}L${last[0].toFixed(1)} ${height}Z`;
}

const steps = {
  10: [1, 2, 4, 5, 10],
  1024: [1, 2, 4, 8, 16, 32, 64, 100, 200, 400, 512, 1024],
} as const;

/** A round number a little above. */
function roundMax(max: number, base: 10 | 1024): number {
  if (max <= 0) return 1;
  const power = base ** Math.floor(Math.log(max) / Math.log(base));
  const step = steps[base].find((each) => each * power >= max * 1.05) ?? 2 * base;
  return step * power;
}
