import { Chart } from './chart.ts';
import { type Child, h, notice, Slot } from './dom.ts';
import {
  bytesText,
  countText,
  hexText,
  plural,
  rateText,
  secondsText,
  timeText,
} from './format.ts';
import { labelOf, sumOf } from './metrics.ts';
import { type Member, numberOf, type Observer, type Point, pointsMax, roleOf } from './observer.ts';
import type { Surroundings, View } from './view.ts';

const common = { pointsMax, timeOf: ({ atMs }: Point) => atMs };
const isThis = 'of the member that answers this page';

/** Members, what they do, how large the database is. */
export class Overview implements View {
  readonly element: HTMLElement;
  readonly #observer: Observer;
  readonly #alerts = new Slot(h('div', { class: 'alerts' }));
  readonly #tiles = new Slot(h('dl', { class: 'tiles' }));
  readonly #members = new Slot(h('div', { class: 'members' }));
  readonly #changes = new Slot(h('div'));
  readonly #space = new Slot(h('div'));
  readonly #requests = new Chart<Point>({
    ...common,
    title: 'Requests',
    note: '',
    format: rateText,
    series: [
      { name: 'reads', valueOf: ({ reads }) => reads },
      { name: 'writes', valueOf: ({ writes }) => writes },
      { name: 'watch messages', valueOf: ({ watched }) => watched },
      { name: 'failed', valueOf: ({ failed }) => failed },
    ],
  });
  readonly #latencies = new Chart<Point>({
    ...common,
    title: 'Latency',
    note: '',
    format: secondsText,
    series: [
      { name: 'call p99', valueOf: ({ callP99 }) => callP99 },
      { name: 'call p50', valueOf: ({ callP50 }) => callP50 },
      { name: 'log sync p99', valueOf: ({ syncP99 }) => syncP99 },
      { name: 'apply p99', valueOf: ({ applyP99 }) => applyP99 },
      { name: 'this page', valueOf: ({ roundTrip }) => roundTrip },
    ],
  });
  readonly #size = new Chart<Point>({
    ...common,
    title: 'Database',
    note: 'Of the member that answers this page.',
    format: bytesText,
    base: 1024,
    series: [
      { name: 'size', valueOf: ({ size }) => size },
      { name: 'in use', valueOf: ({ inUse }) => inUse },
    ],
  });

  constructor({ observer }: Surroundings) {
    this.#observer = observer;
    this.element = h(
      'div',
      { class: 'overview' },
      this.#alerts.element,
      this.#tiles.element,
      h('h2', {}, 'Members'),
      this.#members.element,
      h('h2', {}, 'Load'),
      h(
        'div',
        { class: 'charts' },
        this.#requests.element,
        this.#latencies.element,
        this.#size.element,
        h('section', { class: 'card' }, h('h3', {}, 'Space'), this.#space.element),
      ),
      h('h2', {}, 'Leader changes'),
      h('section', { class: 'card' }, this.#changes.element),
    );
    this.looked();
  }

  looked(): void {
    const { points, failures } = this.#observer;
    this.#showAlerts();
    this.#showTiles();
    this.#showMembers();
    this.#showSpace();
    this.#showChanges();
    const metrics = failures.get('metrics');
    this.#requests.update(
      points,
      metrics === undefined
        ? `Finished calls a second ${isThis}; its own looks are among them.`
        : `Without /metrics (${metrics}) only writes are known: by the growth of the revision.`,
    );
    this.#latencies.update(
      points,
      this.#observer.hasCallTimes
        ? `Over the last ten seconds, ${isThis}.`
        : 'How long calls take is told by members that run with --metrics=extensive.',
    );
    this.#size.update(points);
  }

  refresh(): void {
    void this.#observer.look();
  }

  #showAlerts(): void {
    const { failures, alarms, status, members } = this.#observer;
    const names = { status: 'Status', members: 'Members', alarms: 'Alarms', metrics: 'Metrics' };
    const texts = [
      ...Array.from(failures, ([what, text]) => `${names[what]}: ${text}`),
      ...alarms.map(
        ({ memberID, alarm }) => `Alarm ${alarm ?? 'NONE'} of ${this.#observer.nameOf(memberID)}`,
      ),
      ...(status?.errors ?? []).filter((text) => !text.includes('alarm')),
      ...(status !== undefined && (status.leader ?? '0') === '0'
        ? ['There is no leader: nothing can be written.']
        : []),
    ];
    this.#alerts.show([texts, members.length], () => texts.map((text) => notice('error', text)));
  }

  #showTiles(): void {
    const { status, metrics } = this.#observer;
    const changes = sumOf(metrics, 'etcd_server_leader_changes_seen_total');
    const [version] = metrics?.get('mainstay_version') ?? [];
    const tiles: ReadonlyArray<readonly [string, string, string?]> = [
      ['Leader', status === undefined ? '–' : this.#observer.nameOf(status.leader)],
      ['Term', status?.raftTerm ?? '–'],
      ['Revision', shownCount(status?.header?.revision)],
      [
        'Raft index',
        shownCount(status?.raftIndex),
        `${shownCount(status?.raftAppliedIndex)} applied`,
      ],
      [
        'Leader changes',
        changes === undefined ? '–' : countText(changes),
        'since the member started',
      ],
      [
        'Version',
        (version && labelOf(version, 'version')) ?? status?.version ?? '–',
        version === undefined ? '' : `speaks etcd ${status?.version ?? ''}`,
      ],
    ];
    this.#tiles.show(tiles, () =>
      tiles.map(([name, value, more]) =>
        h(
          'div',
          { class: 'tile' },
          h('dt', {}, name),
          h('dd', {}, h('strong', {}, value), more ? h('small', {}, more) : undefined),
        ),
      ),
    );
  }

  #showMembers(): void {
    const { members, answering, statuses, status } = this.#observer;
    const shown = members.map((member) => ({
      member,
      status: statuses.get(member.ID ?? '')?.status,
      isAnswering: member.ID === answering,
      isLeader: member.ID !== undefined && member.ID === status?.leader,
    }));
    this.#members.show(shown, () => shown.map((each) => this.#card(each)));
  }

  #card(shown: {
    readonly member: Member;
    readonly status: Observer['status'];
    readonly isAnswering: boolean;
    readonly isLeader: boolean;
  }): HTMLElement {
    const { member, status, isAnswering, isLeader } = shown;
    const role = roleOf(member, isLeader);
    const facts: ReadonlyArray<readonly [string, string | undefined]> = [
      ['id', hexText(member.ID)],
      ['speaks', status?.version && `etcd ${status.version}`],
      [
        'database',
        status &&
          `${bytesText(Number(status.dbSize ?? 0))}, ${bytesText(Number(status.dbSizeInUse ?? 0))} in use`,
      ],
      ['quota', status?.dbSizeQuota && bytesText(Number(status.dbSizeQuota))],
      ['raft index', status && shownCount(status.raftIndex)],
      ['errors', status && ((status.errors ?? []).join(', ') || 'none')],
    ];
    return h(
      'section',
      { class: `card member ${role}`, 'aria-label': `member ${member.name ?? ''}` },
      h(
        'header',
        {},
        h('h3', {}, member.name === undefined || member.name === '' ? 'not started' : member.name),
        h('span', { class: `badge ${role}` }, role),
        isAnswering ? h('span', { class: 'badge here' }, 'answers here') : undefined,
      ),
      h(
        'dl',
        { class: 'facts' },
        ...facts.flatMap(([name, text]): Child[] =>
          text === undefined || text === '' ? [] : [h('dt', {}, name), h('dd', {}, text)],
        ),
        h('dt', {}, 'clients'),
        h('dd', {}, ...(member.clientURLs ?? []).map(linkTo)),
      ),
      status === undefined
        ? h('p', { class: 'chart-note' }, 'A member tells its sizes itself: open its own console.')
        : undefined,
    );
  }

  #showSpace(): void {
    const { status, metrics } = this.#observer;
    const size = numberOf(status?.dbSize);
    const inUse = numberOf(status?.dbSizeInUse);
    const quota =
      numberOf(status?.dbSizeQuota) ?? sumOf(metrics, 'etcd_server_quota_backend_bytes');
    this.#space.show([size, inUse, quota], () => {
      if (size === undefined) return [notice('info', 'Nothing is known yet.')];
      if (quota === undefined || quota <= 0)
        return [h('p', {}, `${bytesText(size)}, without a quota that is known.`)];
      const share = size / quota;
      const bar = h('div', { class: 'bar-fill' });
      bar.style.width = `${Math.min(100, Math.max(0.5, 100 * share))}%`;
      const level = share >= 0.9 ? 'bad' : share >= 0.7 ? 'warn' : 'good';
      const percent = share < 0.001 && share > 0 ? 'less than 0.1' : (100 * share).toFixed(1);
      return [
        h(
          'p',
          { class: 'big' },
          `${percent} %`,
          h('small', {}, ` of the quota of ${bytesText(quota)}`),
        ),
        h(
          'div',
          {
            class: `bar ${level}`,
            role: 'meter',
            'aria-label': 'share of the quota that the database takes',
            'aria-valuemin': 0,
            'aria-valuemax': 100,
            'aria-valuenow': (100 * share).toFixed(1),
          },
          bar,
        ),
        h(
          'dl',
          { class: 'facts' },
          h('dt', {}, 'on disk'),
          h('dd', {}, bytesText(size)),
          h('dt', {}, 'in use'),
          h('dd', {}, bytesText(inUse ?? 0)),
          h('dt', {}, 'free by defragmentation'),
          h('dd', {}, bytesText(Math.max(0, size - (inUse ?? size)))),
        ),
      ];
    });
  }

  #showChanges(): void {
    const { leaderChanges, members } = this.#observer;
    this.#changes.show([leaderChanges, members], () => {
      if (leaderChanges.length === 0) {
        return [h('p', { class: 'quiet' }, 'None while this page was open.')];
      }
      const rows = leaderChanges.map(({ at, from, to, term }) =>
        h(
          'li',
          {},
          h('time', { datetime: at.toISOString() }, timeText(at)),
          h('span', {}, `${this.#observer.nameOf(from)} → ${this.#observer.nameOf(to)}`),
          h('span', { class: 'quiet' }, `term ${term}`),
        ),
      );
      return [
        h(
          'p',
          { class: 'quiet' },
          `${plural(rows.length, 'change')} while this page was open, newest first.`,
        ),
        h('ol', { class: 'changes' }, ...rows),
      ];
    });
  }
}

function shownCount(text: string | undefined): string {
  return text === undefined ? '–' : countText(Number(text));
}

/** Members say their own addresses: only the web's are followed. */
function linkTo(url: string): HTMLElement {
  if (!/^https?:\/\//.test(url)) return h('span', { class: 'url' }, url);
  const href = `${url.replace(/\/+$/, '')}/console/`;
  return h('a', { class: 'url', href, rel: 'noopener noreferrer', target: '_blank' }, url);
}
