// The page in a real browser, in front of a gateway and a neuron that each test scripts.

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { chromium } from "playwright-core";
import { build } from "vite";
import { onTestFinished } from "vitest";
import type { Settings, TestGateway } from "../fixtures/gateway.fixture.ts";
import { openGateway, openNeuron } from "../fixtures/gateway.fixture.ts";
import type { MockNeuron } from "../fixtures/mock-neuron.fixture.ts";
import { openStream } from "../fixtures/mock-neuron.fixture.ts";

/** Debian's; .ci/install-chromium adds it. */
const program = "/usr/bin/chromium";
export const hasBrowser = existsSync(program);

const root = join(import.meta.dirname, "../..");

/** Builds the page as it is in the sources; gives the folder, and what removes it. */
export async function buildPage(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "cortex-page-"));
  const outDir = join(folder, "web");
  await build({ configFile: join(root, "vite.config.ts"), logLevel: "error", build: { outDir } });
  return { folder: outDir, remove: () => rm(folder, { recursive: true, force: true }) };
}

export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: program,
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });
}

export interface Opened {
  page: Page;
  gateway: TestGateway;
  neuron: MockNeuron;
  /** The field that one writes in. */
  field: Locator;
  /** The last answer. */
  answer: Locator;
  /** Addresses asked for that are not the gateway's. */
  foreign: string[];
  /** What the page complained of: exceptions, broken policies. */
  faults: string[];
}

export interface Opening extends Settings {
  browser: Browser;
  pageFolder: string;
  /** Of the one neuron's model. */
  capabilities?: string[];
  context?: BrowserContextOptions;
  path?: string;
}

/** The page with one neuron, `alpha`, that has the model `demo`, unless the test brings its own neurons. */
export async function openPage({ browser, capabilities, context: look, path = "/", ...settings }: Opening) {
  const neuron = await openNeuron("demo");
  neuron.models.set("demo", { status: "loaded", reasoning: true, ...(capabilities && { capabilities }) });
  const gateway = await openGateway({ neurons: { alpha: neuron }, ...settings });
  const context = await browser.newContext({ reducedMotion: "reduce", ...look });
  onTestFinished(() => context.close());
  const [foreign, faults]: [string[], string[]] = [[], []];
  context.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(`${gateway.url}/`))
      foreign.push(request.url());
  });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // A refused request is told by the browser, too; that is what some tests are about.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
      faults.push(message.text());
  });
  await page.goto(gateway.url + path);
  const field = page.getByRole("textbox", { name: "Message" });
  const answer = page.locator(".answer").last();
  return { page, gateway, neuron, field, answer, foreign, faults } satisfies Opened;
}

/** An answer of a neuron: pieces of a stream, and promises that it waits for in between. */
export function speaks(...pieces: (string | Promise<unknown>)[]) {
  return async (_request: unknown, response: ServerResponse) => {
    openStream(response);
    for (const piece of pieces) {
      if (typeof piece === "string") response.write(piece);
      else await piece;
    }
    response.end();
  };
}

/** A chunk of a stream, with whatever the test wants in it. */
export function chunk(delta: object, more: object = {}, choice: object = {}): string {
  const head = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "demo" };
  return `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, ...choice }], ...more })}\n\n`;
}

/** A promise, and what keeps it. */
export function gate(): { passed: Promise<void>; open: () => void } {
  let open = () => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

/** Keeps a picture of the page for people to look at. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = join(root, "screenshots");
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

const audit = readFileSync(join(import.meta.dirname, "page-audit.fixture.js"), "utf8");

/** What people with a screen reader, weak eyes or a small screen would complain of. */
export async function flaws(page: Page): Promise<string[]> {
  return (await page.evaluate(audit)) as string[];
}

/** Pastes a picture into the page's field, or drops it on the page, under the name b.png. */
export async function give(page: Page, how: "paste" | "drop", bytes: Buffer): Promise<void> {
  await page.evaluate(`{
    const data = new DataTransfer();
    const bytes = Uint8Array.from(${JSON.stringify([...bytes])});
    data.items.add(new File([bytes], "b.png", { type: "image/png" }));
    const more = { bubbles: true, cancelable: true };
    const event = ${JSON.stringify(how)} === "paste"
      ? new ClipboardEvent("paste", { clipboardData: data, ...more })
      : new DragEvent("drop", { dataTransfer: data, ...more });
    document.querySelector("#composer").dispatchEvent(event);
  }`);
}

/** A JPEG of one colour, drawn by the browser. */
export async function jpeg(page: Page, width: number, height: number): Promise<Buffer> {
  const url = await page.evaluate(`{
    const canvas = Object.assign(document.createElement("canvas"), { width: ${width}, height: ${height} });
    canvas.getContext("2d").fillRect(0, 0, 99, 99);
    canvas.toDataURL("image/jpeg");
  }`);
  return Buffer.from((url as string).split(",")[1]!, "base64");
}

/** Has a transaction of the page's database go on for that many milliseconds: what is kept meanwhile waits for it. */
export async function busyStorage(page: Page, ms: number): Promise<void> {
  await page.evaluate(`new Promise((resolve) => {
    indexedDB.open("cortex").onsuccess = ({ target }) => {
      const kept = target.result.transaction("conversations", "readwrite").objectStore("conversations");
      const end = performance.now() + ${ms};
      const more = () => performance.now() < end && (kept.count().onsuccess = more);
      more();
      resolve();
    };
  })`);
}
