// What the page's tests in a browser share. Every one of them ends by asking whether anything left the gateway, and
// whether the browser complained.

import type { Browser } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect } from "vitest";
import type { MockNeuron } from "../fixtures/mock-neuron.fixture.ts";
import { delta, done, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";
import type { Opened, Opening } from "./page.fixture.ts";
import { buildPage, chunk, hasBrowser, openBrowser, openPage, speaks } from "./page.fixture.ts";

/** Opens the page; what is checked of every page is checked by `expectCalm`. */
export type Open = (opening?: Omit<Opening, "browser" | "pageFolder">) => Promise<Opened>;

/** Tests with one build of the page and one browser for all of them. */
export function inBrowser(what: string, tests: (open: Open) => void): void {
  describe.skipIf(!hasBrowser)(what, { timeout: 60_000 }, () => {
    let browser: Browser;
    let built: Awaited<ReturnType<typeof buildPage>>;
    beforeAll(async () => {
      built = await buildPage();
      browser = await openBrowser();
    }, 120_000);
    afterAll(async () => {
      await browser?.close();
      await built?.remove();
    });
    tests((opening = {}) => openPage({ browser, pageFolder: built.folder, ...opening }));
  });
}

export function expectCalm({ foreign, faults }: Pick<Opened, "foreign" | "faults">): void {
  expect(foreign).toEqual([]);
  expect(faults).toEqual([]);
}

export const hello = speaks(
  role + delta("Hello "),
  delta("**world**"),
  chunk({}, { timings: { prefill_ms: 30, decode_ms: 500 } }, { finish_reason: "stop" }),
  usageChunk(11, 20, 3) + done,
);

/** A small picture. */
export function tealPng(): Promise<Buffer> {
  return sharp({ create: { width: 6, height: 4, channels: 3, background: "teal" } })
    .png()
    .toBuffer();
}

interface Sent {
  messages: { content: { image_url: { url: string } }[] }[];
  model: string;
  tools: unknown;
}

/** The bodies of the requests that the neuron has got. */
export function sent(neuron: MockNeuron): Sent[] {
  return neuron.requests.map(({ body }) => JSON.parse(body) as Sent);
}
