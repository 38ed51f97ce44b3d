import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { toolPath } from './tools.ts';

// A real browser, led by its own protocol over a pair of pipes: Chromium reads commands from descriptor 3 and answers on 4.

const answerMsMax = 60_000;
const closeMsMax = 10_000;
const conditionMsMax = 60_000;
const conditionPollMs = 50;

const flags = [
  '--headless=new',
  '--remote-debugging-pipe',
  // Tests run as root in CI, where Chromium refuses its sandbox; it loads nothing but our own pages here.
  '--no-sandbox',
  '--disable-dev-shm-usage',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-extensions',
  '--disable-sync',
  '--no-first-run',
  '--no-default-browser-check',
  '--hide-scrollbars',
  '--force-device-scale-factor=1',
  '--ignore-certificate-errors',
];

const networkChanged = 'net::ERR_NETWORK_CHANGED';
const navigationsMax = 5;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly sessionId?: string;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

type Parameters = Readonly<Record<string, unknown>>;

/** Chromium with a profile of its own. It must be closed. */
export class Browser {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #commands: Writable;
  readonly #waiting = new Map<
    number,
    { resolve(result: unknown): void; reject(error: Error): void }
  >();
  readonly #pages = new Map<string, Page>();
  readonly #contexts: string[] = [];
  #stderr = '';
  #lastId = 0;

  static async open(): Promise<Browser> {
    const browser = new Browser();
    await browser.send('Browser.getVersion');
    return browser;
  }

  private constructor() {
    this.#profile = mkdtempSync(join(tmpdir(), 'mainstay-test-browser-'));
    this.#child = spawn(toolPath('chromium'), [...flags, `--user-data-dir=${this.#profile}`], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, HOME: this.#profile },
    });
    const [, , errors, commands, answers] = this.#child.stdio;
    this.#commands = commands as Writable;
    (errors as Readable).setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4_000);
    });
    let rest = '';
    (answers as Readable).setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\0');
      rest = parts.pop() ?? '';
      for (const part of parts) this.#received(JSON.parse(part) as Message);
    });
    this.#commands.on('error', () => undefined);
    this.#child.once('exit', (code) => this.#fail(`chromium has ended (${code}): ${this.#stderr}`));
    this.#child.once('error', (error) => this.#fail(error.message));
    process.once('exit', this.#kill);
  }

  /** A page without a past: cookies and storage are its own. */
  async newPage(options: PageOptions = {}): Promise<Page> {
    const { browserContextId } = await this.send<{ browserContextId: string }>(
      'Target.createBrowserContext',
    );
    const { targetId } = await this.send<{ targetId: string }>('Target.createTarget', {
      url: 'about:blank',
      browserContextId,
    });
    const { sessionId } = await this.send<{ sessionId: string }>('Target.attachToTarget', {
      targetId,
      flatten: true,
    });
    const page = new Page((method, params) => this.send(method, params, sessionId));
    this.#pages.set(sessionId, page);
    this.#contexts.push(browserContextId);
    await page.prepare(options);
    return page;
  }

  /** All that there are: an open page goes on asking, and costs as much as the one that is looked at. */
  async closePages(): Promise<void> {
    this.#pages.clear();
    for (const browserContextId of this.#contexts.splice(0)) {
      await this.send('Target.disposeBrowserContext', { browserContextId });
    }
  }

  async send<Result>(method: string, params: Parameters = {}, sessionId?: string): Promise<Result> {
    const id = ++this.#lastId;
    const answered = new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`chromium has not answered ${method}: ${this.#stderr}`));
      }, answerMsMax);
      this.#waiting.set(id, {
        resolve: (result) => {
          clearTimeout(timer);
          resolve(result);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
    this.#commands.write(
      `${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`,
    );
    return (await answered) as Result;
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => {
      this.#child.once('exit', resolve);
    });
    // By itself it ends its other processes first, which write to the profile; it may end before it has answered.
    this.send('Browser.close').catch(() => undefined);
    const timer = setTimeout(this.#kill, closeMsMax);
    await ended;
    clearTimeout(timer);
    process.off('exit', this.#kill);
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  readonly #kill = (): void => {
    this.#child.kill('SIGKILL');
  };

  #received(message: Message): void {
    if (message.id === undefined) {
      this.#pages
        .get(message.sessionId ?? '')
        ?.happened(message.method ?? '', message.params ?? {});
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(new Error(message.error.message));
  }

  #fail(reason: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}

export interface PageOptions {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
}

export interface PageRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** One page: everything that it asks for and complains of is kept. */
export class Page {
  readonly requests: PageRequest[] = [];
  /** Exceptions, errors of the console, what the policy of the page has kept away. */
  readonly complaints: string[] = [];
  readonly #send: <Result>(method: string, params?: Parameters) => Promise<Result>;
  #networkChanges = 0;

  constructor(send: <Result>(method: string, params?: Parameters) => Promise<Result>) {
    this.#send = send;
  }

  async prepare({ width = 1280, height = 800, scheme = 'light' }: PageOptions): Promise<void> {
    for (const domain of ['Page', 'Runtime', 'Network', 'Log', 'DOM', 'Accessibility']) {
      await this.#send(`${domain}.enable`);
    }
    await this.resize({ width, height });
    await this.prefer(scheme);
  }

  async resize({
    width,
    height,
  }: {
    readonly width: number;
    readonly height: number;
  }): Promise<void> {
    const mobile = width < 600;
    await this.#send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile,
    });
  }

  async prefer(scheme: 'light' | 'dark'): Promise<void> {
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.#send('Emulation.setEmulatedMedia', { features });
  }

  /** Once more where the network of the machine has changed meanwhile: Chromium gives every request up then. */
  async goto(url: string): Promise<void> {
    for (let left = navigationsMax; left > 0; left--) {
      const changes = this.#networkChanges;
      const { errorText } = await this.#send<{ errorText?: string }>('Page.navigate', { url });
      if (errorText !== undefined && errorText !== networkChanged)
        throw new Error(`${url}: ${errorText}`);
      await this.until("document.readyState === 'complete'");
      if (errorText === undefined && changes === this.#networkChanges) return;
      await this.#send('Page.navigate', { url: 'about:blank' });
    }
    throw new Error(`${url}: the network changes again and again`);
  }

  /** The value of an expression, which may be a promise. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#send<{
      result: { value?: unknown };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    }>('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails === undefined) return result.value as T;
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }

  /** The page's text, as a person sees it. */
  text(selector = 'body'): Promise<string> {
    return this.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`);
  }

  /** Waits until the text of an element matches. */
  async shows(pattern: RegExp, selector = 'body'): Promise<string> {
    const deadline = performance.now() + conditionMsMax;
    for (;;) {
      const text = await this.text(selector);
      if (pattern.test(text)) return text;
      if (performance.now() > deadline) {
        throw new Error(
          `${selector} does not show ${pattern}:\n${text}\n${this.complaints.join('\n')}`,
        );
      }
      await new Promise((resolve) => {
        setTimeout(resolve, conditionPollMs);
      });
    }
  }

  /** Waits until an expression is true. */
  async until(expression: string): Promise<void> {
    const deadline = performance.now() + conditionMsMax;
    while (!(await this.evaluate<boolean>(`Boolean(${expression})`))) {
      if (performance.now() > deadline)
        throw new Error(`never true: ${expression}\n${await this.text()}`);
      await new Promise((resolve) => {
        setTimeout(resolve, conditionPollMs);
      });
    }
  }

  /** Presses a key as a person does. */
  async press(key: string): Promise<void> {
    const isText = key.length === 1;
    const code = {
      Enter: 13,
      Escape: 27,
      Tab: 9,
      ArrowLeft: 37,
      ArrowRight: 39,
      ArrowUp: 38,
      ArrowDown: 40,
    }[key];
    const common = { key, ...(code === undefined ? {} : { windowsVirtualKeyCode: code }) };
    const text = isText ? { text: key } : key === 'Enter' ? { text: '\r' } : {};
    await this.#send('Input.dispatchKeyEvent', { type: 'keyDown', ...common, ...text });
    await this.#send('Input.dispatchKeyEvent', { type: 'keyUp', ...common });
  }

  async type(text: string): Promise<void> {
    await this.#send('Input.insertText', { text });
  }

  /** Puts text in place of what a field has. */
  async fill(selector: string, text: string): Promise<void> {
    await this.evaluate(
      `(() => { const field = document.querySelector(${JSON.stringify(selector)}); field.focus(); field.select(); })()`,
    );
    await this.type(text);
  }

  /** Clicks the first element of the selector whose text is this. */
  async click(selector: string, text?: string): Promise<void> {
    const wanted = JSON.stringify(text ?? null);
    const found = `[...document.querySelectorAll(${JSON.stringify(selector)})].find((each) => ${wanted} === null || each.textContent.includes(${wanted}))`;
    await this.until(found);
    const [x, y] = await this.evaluate<[number, number]>(
      `(() => { const each = ${found}; each.scrollIntoView({ block: 'center' }); const { left, top, width, height } = each.getBoundingClientRect(); return [left + width / 2, top + height / 2]; })()`,
    );
    const event = { x, y, button: 'left', clickCount: 1 };
    await this.#send('Input.dispatchMouseEvent', { type: 'mousePressed', ...event });
    await this.#send('Input.dispatchMouseEvent', { type: 'mouseReleased', ...event });
  }

  /** The whole page as PNG. */
  async screenshot(path: string): Promise<void> {
    const { data } = await this.#send<{ data: string }>('Page.captureScreenshot', {
      format: 'png',
      captureBeyondViewport: true,
    });
    writeFileSync(path, Buffer.from(data, 'base64'));
  }

  happened(method: string, params: Parameters): void {
    switch (method) {
      case 'Network.requestWillBeSent': {
        this.requests.push(params['request'] as PageRequest);
        break;
      }
      case 'Runtime.exceptionThrown':
        this.complaints.push(JSON.stringify(params['exceptionDetails']));
        break;
      case 'Runtime.consoleAPICalled':
        if (params['type'] === 'error') this.complaints.push(JSON.stringify(params['args']));
        break;
      case 'Log.entryAdded': {
        const entry = JSON.stringify(params['entry']);
        // Others' containers come and go; that is nothing of the page.
        if (entry.includes(networkChanged)) this.#networkChanges++;
        else this.complaints.push(entry);
        break;
      }
      default:
    }
  }
}
