import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { Browser, type Page } from '../../support/browser.ts';
import { Authority, Files } from '../../support/certificates.ts';
import { TestCluster } from '../../support/server-process.ts';
import { needs } from '../../support/tools.ts';

// The console in a real browser. MAINSTAY_SCREENSHOTS names a folder where every view is kept as a picture.

const pictures = process.env['MAINSTAY_SCREENSHOTS'];
const flags = ['--enable-console', '--metrics=extensive'];
const views = ['overview', 'keys', 'watch', 'leases', 'users'] as const;

/** All that the page may ask for: its own files, and what reads. */
const asked =
  /^\/(console\/([\w-]+\.(js|css|svg))?|metrics|v3\/(maintenance\/(status|alarm)|cluster\/member\/list|kv\/range|watch|lease\/(leases|timetolive)|auth\/(status|authenticate|(user|role)\/(get|list))))$/;

type Answer = Readonly<Record<string, unknown>>;

class Store {
  readonly url: string;
  #token: string | undefined;

  constructor(url: string) {
    this.url = url;
  }

  async call(path: string, request: object = {}): Promise<Answer> {
    const response = await fetch(`${this.url}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(request),
      ...(this.#token !== undefined && { headers: { Authorization: this.#token } }),
    });
    const answer = (await response.json()) as Answer;
    assert.equal(response.status, 200, `${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  async put(key: string, value: string, lease?: string): Promise<void> {
    const text = { key: base64(key), value: base64(value) };
    await this.call('kv/put', { ...text, ...(lease !== undefined && { lease }) });
  }

  async login(name: string, password: string): Promise<void> {
    const { token } = await this.call('auth/authenticate', { name, password });
    this.#token = String(token);
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** No request left the store, none wrote, and nothing went wrong in the page. */
function assertQuiet(page: Page, store: Store): void {
  assert.ok(page.requests.length > 5);
  for (const { url } of page.requests) {
    const { origin, pathname } = new URL(url);
    assert.equal(origin, store.url);
    assert.match(pathname, asked);
  }
  assert.deepEqual(page.complaints, []);
}

suite('the console', { ...needs('chromium'), timeout: 400_000 }, () => {
  let cluster: TestCluster;
  let browser: Browser;
  let store: Store;
  const openPage = async (view: string, options = {}): Promise<Page> => {
    const page = await browser.newPage(options);
    await page.goto(`${store.url}/console/#/${view}`);
    return page;
  };

  before(async () => {
    [cluster, browser] = await Promise.all([
      TestCluster.start({ program: 'mainstay', size: 3, flags }),
      Browser.open(),
    ]);
    store = new Store(cluster.member(0).clientUrl);
  });
  afterEach(() => browser.closePages());
  after(async () => {
    await Promise.all([cluster?.stop(), browser?.close()]);
  });

  test('the overview follows members, load and leaders', async () => {
    const page = await openPage('overview');
    await page.shows(/m1[\s\S]*m2[\s\S]*m3/, '.members');
    assert.match(await page.text('.member.leader'), /^m\d\s+leader/);
    assert.equal(await page.evaluate('document.querySelectorAll(".member.follower").length'), 2);
    await page.shows(/^m1, (leader|follower)$/, '#state');
    const revision = await page.text('.tiles');
    for (let i = 0; i < 30; i++) await store.put(`/load/${i}`, 'x');
    await page.until(
      `document.querySelector('.tiles').innerText !== ${JSON.stringify(revision)} && /Revision\\s+3\\d/.test(document.querySelector('.tiles').innerText)`,
    );
    await page.until("document.querySelectorAll('.chart path').length >= 6");

    const { leader } = await store.call('maintenance/status');
    const { members } = await store.call('cluster/member/list');
    const known = members as readonly { ID: string; name: string }[];
    const [from, to] = [
      known.find(({ ID }) => ID === leader),
      known.find(({ ID }) => ID !== leader),
    ];
    assert.ok(from && to);
    const leading = cluster.members.find(({ name }) => name === from.name);
    await new Store(leading?.clientUrl ?? '').call('maintenance/transfer-leadership', {
      targetID: to.ID,
    });
    await page.shows(new RegExp(`1 change while[\\s\\S]*→ ${to.name}`));
    await page.shows(new RegExp(`^${to.name}\\s+leader`), '.member.leader');
    await keepPicture(page, 'overview-at-work');
    assertQuiet(page, store);
  });

  test('keys are found by keyboard; the opened one is up to date and tells its past', async () => {
    await store.put('/app/config/colour', 'red');
    await store.put('/app/config/colour', '{"colour":"green"}');
    await store.put('/app/name', '<img src=x onerror=alert(1)>');
    const page = await openPage('overview');
    await page.shows(/Members/);
    await page.press('2');
    await page.shows(/\/app\/|\//, '.keys');
    await page.press('/');
    await page.fill('#prefix', '/app/');
    await page.press('Enter');
    await page.shows(/2 keys with this prefix/);
    await page.shows(/config\/\s+prefix\s+name\s+revision/, '.keys');
    await page.press('Escape');
    await page.press('j');
    await page.press('Enter');
    await page.shows(/^colour/, '.keys');
    await page.press('j');
    await page.press('Enter');
    await page.shows(/"colour": "green"/, '.value-text');
    await page.click('.key-panel > button', 'Show earlier versions');
    await page.shows(/Created at revision/, '.key-panel');
    await page.click('.version', 'red');
    await page.shows(/^red$/, '.value-text');
    await page.shows(/As it was at revision/, '.key-panel');

    await store.put('/app/config/colour', 'blue');
    await page.shows(/^blue$/, '.value-text');
    const { kvs } = await store.call('kv/range', { key: base64('/app/config/colour') });
    const [blue] = kvs as readonly { mod_revision: string }[];
    await page.shows(new RegExp(`^colour\\s+revision ${blue?.mod_revision}$`), '.keys');
    await page.shows(/green[\s\S]*red/, '.versions');
    await store.call('kv/deleterange', { key: base64('/app/config/colour') });
    await page.shows(/not there now/, '.key-panel');

    // Up from the key, then from its prefix.
    await page.press('u');
    await page.shows(/Choose a key/);
    await page.press('u');
    await page.shows(/name\s+revision/, '.keys');
    await page.click('.keys a', 'name');
    await page.shows(/^<img src=x onerror=alert\(1\)>$/, '.value-text');
    assertQuiet(page, store);
  });

  test('a history that was compacted says where it begins', async () => {
    for (const value of ['one', 'two', 'three']) await store.put('/compacted', value);
    const { header } = await store.call('maintenance/status');
    const revision = Number((header as { revision: string }).revision);
    await store.call('kv/compaction', { revision: String(revision - 1), physical: true });
    const page = await openPage('keys');
    await page.click('.keys a', '/');
    await page.click('.keys a', 'compacted');
    await page.shows(/^three$/, '.value-text');
    await page.click('.key-panel > button', 'Show earlier versions');
    await page.shows(/What was before revision \d+ has been compacted/, '.key-panel');
    assert.match(await page.text('.versions'), /^\d+\s+two/);
    await page.goto(`${store.url}/console/#/watch?k=`);
    await page.shows(/Watching: 0 events/);
    await page.press('w');
    await page.shows(/Stopped\./);
    await page.fill('#from', '1');
    await page.press('Enter');
    await page.shows(/That revision has been compacted: the history begins at \d+/);
    // The answer that says so is an error of HTTP only for reads.
    const others = page.complaints.filter((text) => !text.includes('400'));
    assert.deepEqual(others, []);
  });

  test('a watch shows what happens as it happens', async () => {
    const page = await openPage('watch');
    await page.shows(/Not watching/);
    await page.fill('#watched', '/watched/');
    await page.press('Enter');
    await page.shows(/Watching: 0 events/);
    await store.put('/watched/1', 'first');
    await page.shows(/create\s+\/watched\/1\s+first/, '.events tbody');
    await store.put('/elsewhere', 'x');
    await store.put('/watched/1', 'second');
    await store.call('kv/deleterange', { key: base64('/watched/1') });
    await page.shows(/delete\s+\/watched\/1[\s\S]*put\s+\/watched\/1\s+second/, '.events tbody');
    assert.doesNotMatch(await page.text('.events'), /elsewhere/);
    await page.press('Escape');
    await page.press('w');
    await page.shows(/Stopped/);
    await store.put('/watched/2', 'unseen');
    await page.press('w');
    await page.shows(/Watching: 0 events/);
    assertQuiet(page, store);
  });

  test('leases count down, name their keys and go', async () => {
    const page = await openPage('leases');
    await page.shows(/There is no lease/);
    const { ID } = await store.call('lease/grant', { TTL: '600' });
    await store.put('/leased', 'x', String(ID));
    await page.press('r');
    await page.shows(/1 lease[\s\S]*(10 min|9 min 5\d s) of 10 min[\s\S]*1 key\s+\/leased/);
    await page.shows(/9 min 5\d s/);
    await store.call('lease/revoke', { ID });
    await page.press('r');
    await page.shows(/There is no lease/);
    assertQuiet(page, store);
  });

  test('users and roles tell what they allow', async () => {
    const page = await openPage('users');
    await page.shows(/Authentication is off[\s\S]*There is no user[\s\S]*There is no role/);
    await store.call('auth/role/add', { name: 'staff' });
    const perm = { permType: 'READWRITE', key: base64('/a/'), range_end: base64('/a0') };
    await store.call('auth/role/grant', { name: 'staff', perm });
    await store.call('auth/user/add', { name: 'ann', password: 'p' });
    await store.call('auth/user/grant', { user: 'ann', role: 'staff' });
    await page.press('r');
    await page.shows(/Users\s+ann\s+staff\s+Roles\s+staff\s+read and write\s*\/a\/…/);
    assertQuiet(page, store);
  });

  test('every view is legible and fits, light and dark, wide and narrow', async () => {
    await furnish(store);
    const page = await openPage('overview');
    const query = { keys: '?p=L2FwcC8&k=L2FwcC9uYW1l', watch: '?k=&prefix=1' };
    for (const view of views) {
      const more = view in query ? query[view as 'keys'] : '';
      await page.evaluate(`location.hash = '#/${view}${more}'`);
      await page.shows(ready[view], 'main');
      await store.put('/app/name', `seen by ${view}`);
      for (const width of [1280, 400]) {
        await page.resize({ width, height: 800 });
        for (const scheme of ['light', 'dark'] as const) {
          await page.prefer(scheme);
          const { wide, faint, paper } = await page.evaluate<Looks>(look);
          assert.equal(Number(/\d+/.exec(paper)?.[0]) > 128, scheme === 'light', paper);
          assert.deepEqual(wide, [], `${view}, ${width} px: wider than the page`);
          assert.deepEqual(faint, [], `${view}, ${width} px, ${scheme}: hardly seen`);
          await keepPicture(page, `${view}-${width}-${scheme}`);
        }
      }
    }
    assertQuiet(page, store);
  });

  test('names that JavaScript knows are no views, and the way to the content stays in the view', async () => {
    const page = await openPage('constructor');
    await page.shows(/Leader changes/, 'main');
    for (const name of ['__proto__', 'toString']) {
      await page.goto(`${store.url}/console/#/${name}`);
      await page.shows(/Leader changes/, 'main');
    }
    await page.goto(`${store.url}/console/#/leases`);
    await page.until("document.title.startsWith('leases')");
    await page.evaluate("document.querySelector('.skip').focus()");
    await page.press('Enter');
    await page.until("document.activeElement.id === 'main'");
    assert.match(await page.evaluate<string>('document.title'), /^leases/);
    assert.equal(await page.evaluate('location.hash'), '#/leases');
    assert.deepEqual(page.complaints, []);
  });

  test('numbers that change every two seconds are not read aloud', async () => {
    const page = await openPage('overview');
    await page.shows(/Leader changes/, 'main');
    const live = 'main :is(output, [aria-live], [role=status], [role=log]):not(.notice)';
    assert.deepEqual(
      await page.evaluate(
        `[...document.querySelectorAll(${JSON.stringify(live)})].map((each) => each.outerHTML)`,
      ),
      [],
    );
  });

  test('JSON is shown as it is where JavaScript would change it', async () => {
    const page = await openPage('keys');
    const texts = ['{"id": 12345678901234567890}', '{"rate": 1e2}', '{"b": 1, "10": 2, "9": 3}'];
    for (const [index, text] of texts.entries()) {
      await store.put(`/json/${index}`, text);
      const key = Buffer.from(`/json/${index}`).toString('base64url');
      await page.goto(`${store.url}/console/#/keys?p=L2pzb24v&k=${key}`);
      await page.until(
        `document.querySelector('.key-panel h3')?.textContent === '/json/${index}' && document.querySelector('.value-text').textContent !== ''`,
      );
      assert.equal(await page.evaluate("document.querySelector('.value-text').textContent"), text);
    }
  });

  test('a key that changes fast has every version in its history, and not more than can be shown', async () => {
    await store.put('/hot', 'first');
    const page = await openPage('keys?k=L2hvdA');
    await page.shows(/^first$/, '.value-text');
    const revisions =
      "[...document.querySelectorAll('.version')].map((each) => Number(each.dataset.revision))";
    const putMany = async (count: number): Promise<void> => {
      const puts = Array.from({ length: count }, () => store.put('/hot', 'again'));
      await Promise.all(puts);
      await store.put('/hot', `after ${count}`);
      await page.shows(new RegExp(`^after ${count}$`), '.value-text');
    };
    await putMany(60);
    const shown = await page.evaluate<number[]>(revisions);
    assert.equal(shown.length, 61);
    await putMany(400);
    const many = await page.evaluate<number[]>(revisions);
    assert.ok(many.length <= 200, `${many.length} versions`);
    await page.click('.key-panel > button', 'Show earlier versions');
    await page.until(`${revisions}.length >= ${many.length + 10}`);
    const more = await page.evaluate<number[]>(revisions);
    assert.deepEqual(
      more,
      Array.from(more, (_, index) => (more[0] ?? 0) - index),
      'none is left out',
    );
    assertQuiet(page, store);
  });

  test('a watch of a long past keeps the page alive', async () => {
    const { header } = await store.call('maintenance/status');
    const from = Number((header as { revision: string }).revision) + 1;
    for (let batch = 0; batch < 30; batch++) {
      const success = Array.from({ length: 100 }, (_, index) => ({
        requestPut: { key: base64(`/past/${batch}/${index}`), value: base64('x') },
      }));
      await store.call('kv/txn', { success });
    }
    const page = await openPage('watch');
    await page.shows(/Not watching/);
    await page.evaluate(
      "globalThis.added = 0; globalThis.draws = 0; globalThis.began = performance.now(); new MutationObserver((all) => { draws++; for (const { addedNodes } of all) added += addedNodes.length; }).observe(document.querySelector('.events tbody'), { childList: true })",
    );
    await page.fill('#watched', '/past/');
    await page.fill('#from', String(from));
    await page.press('Enter');
    await page.shows(/Watching: 3,000 events so far, the last 500 are shown/);
    await page.shows(/^\S+\s+\S+\s+create\s+\/past\/29\//, '.events tbody');
    assert.equal(await page.evaluate("document.querySelectorAll('.events tbody tr').length"), 500);
    const [added, draws, ms] = await page.evaluate<[number, number, number]>(
      '[added, draws, performance.now() - began]',
    );
    assert.ok(draws <= ms / 100 + 1, `${draws} times in ${ms} ms`);
    assert.ok(added <= 500 * draws, `${added} rows, ${draws} times`);
  });

  test('over TLS, with users: the page, a login and a live key', async () => {
    const files = new Files();
    const authority = await Authority.create('ca');
    const { certFile, keyFile } = files.writePair('member', await authority.issue());
    const secure = await TestCluster.start({
      program: 'mainstay',
      schemes: { client: 'https' },
      flags: [...flags, `--cert-file=${certFile}`, `--key-file=${keyFile}`],
    });
    try {
      await secure.showLogsOnFailure(() => overTls(browser, secure.member(0).clientUrl));
    } finally {
      await secure.stop();
      files.remove();
    }
  });

  test('a read-only user sees what the roles allow and no more', async () => {
    const other = await TestCluster.start({ program: 'mainstay', flags });
    try {
      const alone = new Store(other.member(0).clientUrl);
      await other.showLogsOnFailure(() => asReader(browser, alone));
    } finally {
      await other.stop();
    }
  });
});

interface Looks {
  readonly wide: readonly string[];
  readonly faint: readonly string[];
  readonly paper: string;
}

const ready: Readonly<Record<(typeof views)[number], RegExp>> = {
  overview: /Leader changes[\s\S]*None|change/,
  keys: /History/,
  watch: /Watching/,
  leases: /1 key\s+\/leased/,
  users: /staff\s+read and write/,
};

async function keepPicture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot(join(pictures, `${name}.png`));
}

async function furnish(store: Store): Promise<void> {
  for (const name of [
    'name',
    'colour',
    'a-rather-long-name-of-a-key-that-has-to-be-broken-somewhere',
  ]) {
    await store.put(`/app/${name}`, '{"some":"value","of":["more",1,2,3]}');
  }
  const { leases } = await store.call('lease/leases');
  if (Array.isArray(leases) && leases.length > 0) return;
  const { ID } = await store.call('lease/grant', { TTL: '600' });
  await store.put('/leased', 'x', String(ID));
}

/** What stands out of the page to the right, and text with a contrast below 4.5 to what is behind it. */
const look = `(() => {
  const numbers = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const isClear = (color) => numbers(color)[3] === 0;
  const behind = (element) => {
    for (let each = element; each !== null; each = each.parentElement) {
      const { backgroundColor } = getComputedStyle(each);
      if (!isClear(backgroundColor)) return backgroundColor;
    }
    return 'rgb(255, 255, 255)';
  };
  const luminance = (color) => {
    const [r, g, b] = numbers(color).map((n) => n / 255).map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement, textContent } = walker.currentNode;
    if (textContent.trim() === '' || parentElement.closest('svg, :disabled') || !parentElement.checkVisibility()) continue;
    const { color } = getComputedStyle(parentElement);
    const found = contrast(color, behind(parentElement));
    if (found < 4.5) faint.push(textContent.trim() + ': ' + found.toFixed(2));
  }
  const wide = document.documentElement.scrollWidth > innerWidth
    ? [...document.querySelectorAll('main *')].filter((each) => each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.tagName + '.' + each.className).slice(0, 5)
    : [];
  if (document.documentElement.scrollWidth > innerWidth && wide.length === 0) wide.push('the header');
  return { wide, faint, paper: getComputedStyle(document.body).backgroundColor };
})()`;

async function asReader(browser: Browser, store: Store): Promise<void> {
  const { ID } = await store.call('lease/grant', { TTL: '600' });
  await store.put('/app/shown', 'permitted');
  await store.put('/secret/hidden', 'canary', String(ID));
  for (const name of ['root', 'reader', 'colleague']) {
    await store.call('auth/user/add', { name, password: `${name}-password` });
    await store.call('auth/role/add', { name });
    await store.call('auth/user/grant', { user: name, role: name });
  }
  const perm = { permType: 'READ', key: base64('/app/'), range_end: base64('/app0') };
  await store.call('auth/role/grant', { name: 'reader', perm });
  await store.call('auth/enable');
  await store.login('root', 'root-password');

  const page = await browser.newPage();
  const nothing = /hidden|secret|canary/;
  await page.goto(`${store.url}/console/#/keys`);
  await page.shows(/This store asks who you are/);
  await page.shows(/^not logged in$/, '#state');
  assert.doesNotMatch(await page.text(), /shown|permitted|hidden|secret/);
  await keepPicture(page, 'login');
  await page.fill('#user', 'reader');
  await page.fill('#password', 'wrong');
  await page.press('Enter');
  await page.shows(/authentication failed, invalid user ID or password/);
  await page.fill('#password', 'reader-password');
  await page.press('Enter');
  await page.shows(/permission denied[\s\S]*Your roles let you read:\s+\/app\/…/, 'main');
  assert.doesNotMatch(await page.text(), nothing);
  await page.click('.entry.folder', '/app/');
  await page.click('.keys a', 'shown');
  await page.shows(/^permitted$/, '.value-text');
  await store.put('/app/shown', 'changed');
  await page.shows(/^changed$/, '.value-text');
  await page.evaluate("location.hash = '#/keys'");
  await page.shows(/Your roles let you read/, 'main');
  await keepPicture(page, 'reader-keys');
  // Typed by hand.
  await page.fill('#prefix', '/secret/');
  await page.press('Enter');
  await page.shows(/permission denied/, '.key-list');
  assert.doesNotMatch(await page.text('.key-list .keys'), nothing);

  await page.evaluate("location.hash = '#/watch?k=L3NlY3JldC8&prefix=1'");
  await page.shows(/permission denied/, 'main');
  await page.shows(/Stopped/, 'main');
  await page.evaluate("location.hash = '#/leases'");
  await page.shows(/permission denied/, 'main');
  assert.doesNotMatch(await page.text('main'), nothing);
  await page.evaluate("location.hash = '#/users'");
  await page.shows(/these are yours[\s\S]*reader[\s\S]*\/app\/…/, 'main');
  assert.doesNotMatch(await page.text('main'), /colleague/);
  await page.evaluate("location.hash = '#/overview'");
  await page.shows(/Leader changes/, 'main');
  assert.doesNotMatch(await page.text('main'), nothing);
  assert.equal(
    await page.evaluate(
      'JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])',
    ),
    '[{},{},""]',
  );
  await keepPicture(page, 'reader');
  await page.click('#user-menu button', 'Log out');
  await page.shows(/This store asks who you are/);
}

/** Only the browser knows of the certificate: it makes the users too. */
async function overTls(browser: Browser, url: string): Promise<void> {
  const page = await browser.newPage();
  await page.goto(`${url}/console/#/keys?p=L3Rscy8`);
  await page.shows(/There is no key here/);
  const call = (path: string, request: object): Promise<unknown> =>
    page.evaluate(
      `fetch('/v3/${path}', { method: 'POST', body: ${JSON.stringify(JSON.stringify(request))}, headers: globalThis.token ? { Authorization: token } : {} }).then((answer) => answer.json()).then((answer) => { globalThis.token ??= answer.token; return answer; })`,
    );
  await call('kv/put', { key: base64('/tls/a'), value: base64('one') });
  await call('auth/user/add', { name: 'root', password: 'root-password' });
  await call('auth/role/add', { name: 'root' });
  await call('auth/user/grant', { user: 'root', role: 'root' });
  await call('auth/enable', {});
  await page.shows(/This store asks who you are/);
  await page.fill('#user', 'root');
  await page.fill('#password', 'root-password');
  await page.press('Enter');
  await page.click('.keys a', 'a');
  await page.shows(/^one$/, '.value-text');
  await call('auth/authenticate', { name: 'root', password: 'root-password' });
  await call('kv/put', { key: base64('/tls/a'), value: base64('two') });
  await page.shows(/^two$/, '.value-text');
  // Unchanged files, asked for once more, are not sent again.
  assert.equal(
    await page.evaluate(
      "fetch('app.js', { cache: 'no-store' }).then(({ headers }) => fetch('app.js', { cache: 'no-store', headers: { 'If-None-Match': headers.get('etag') } })).then(({ status }) => status)",
    ),
    304,
  );
  assert.equal(
    await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol"),
    'h2',
  );
}

test('the page is there with its flag alone, and may load nothing from elsewhere', async () => {
  const cluster = await TestCluster.prepare({ program: 'mainstay' });
  const { url } = new Store((await cluster.newMember()).clientUrl);
  const member = cluster.member(1);
  try {
    await member.start(cluster.flagsFor('new', [member]));
    assert.equal((await fetch(`${url}/console/`)).status, 404);
    await member.stop();
    await member.start([...cluster.flagsFor('new', [member]), '--enable-console']);
    const first = await fetch(`${url}/console`);
    assert.equal(first.url, `${url}/console/`);
    assert.match(first.headers.get('content-security-policy') ?? '', /^default-src 'none'; /);
    assert.match(await first.text(), /<title>Mainstay console<\/title>/);
    const headers = { 'If-None-Match': first.headers.get('etag') ?? '' };
    assert.equal((await fetch(`${url}/console/`, { headers })).status, 304);
    assert.equal((await fetch(`${url}/console/`, { method: 'POST' })).status, 405);
    for (const path of ['app.ts', 'tsconfig.json', '../package.json', '%2e%2e/package.json']) {
      assert.equal((await fetch(`${url}/console/${path}`)).status, 404, path);
    }
  } finally {
    await cluster.stop();
  }
});
