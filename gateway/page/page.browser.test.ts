// The page in Chromium, over real sockets. Every test ends by asking whether anything left the gateway, and whether the
// browser complained.

import { readFileSync } from "node:fs";
import type { Browser } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { keyFor, until } from "../fixtures/gateway.fixture.ts";
import { openKeeper } from "../fixtures/lifecycle.fixture.ts";
import {
  delta,
  done,
  finish,
  json,
  MockNeuron,
  openStream,
  role,
  usageChunk,
} from "../fixtures/mock-neuron.fixture.ts";
import type { Opening } from "./page.fixture.ts";
import { buildPage, chunk, flaws, gate, give, hasBrowser, jpeg } from "./page.fixture.ts";
import { openBrowser, openPage, screenshot, speaks } from "./page.fixture.ts";

let browser: Browser;
let built: Awaited<ReturnType<typeof buildPage>>;

/** Opens the page; what is checked of every page is checked by `expectCalm`. */
function open(opening: Omit<Opening, "browser" | "pageFolder"> = {}) {
  return openPage({ browser, pageFolder: built.folder, ...opening });
}

function expectCalm({ foreign, faults }: { foreign: string[]; faults: string[] }): void {
  expect(foreign).toEqual([]);
  expect(faults).toEqual([]);
}

const hello = speaks(
  role + delta("Hello "),
  delta("**world**"),
  chunk({}, { timings: { prefill_ms: 30, decode_ms: 500 } }, { finish_reason: "stop" }),
  usageChunk(11, 20, 3) + done,
);

let png: Buffer;

interface Sent {
  messages: { content: { image_url: { url: string } }[] }[];
  model: string;
  tools: unknown;
}

/** The bodies of the requests that the neuron has got. */
function sent(neuron: MockNeuron): Sent[] {
  return neuron.requests.map(({ body }) => JSON.parse(body) as Sent);
}

describe.skipIf(!hasBrowser)("the page", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    const create = { width: 6, height: 4, channels: 3, background: "teal" } as const;
    png = await sharp({ create }).png().toBuffer();
    built = await buildPage();
    browser = await openBrowser();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await built?.remove();
  });

  test("a chat: streamed, in Markdown, with its figures", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    await page.getByText("demo is ready.").waitFor();
    await screenshot(page, "welcome");
    const middle = gate();
    neuron.answer = speaks(
      role + delta("Hello "),
      middle.passed,
      delta("**world**"),
      finish + usageChunk(11, 20, 3) + done,
    );
    await field.fill("Say hello");
    await field.press("Enter");
    await answer.getByText("Hello").waitFor();
    expect(await answer.getAttribute("aria-busy")).toBe("true");
    expect(await answer.locator("strong").count()).toBe(0);
    expect(await field.inputValue()).toBe("");
    middle.open();
    await answer.locator("strong", { hasText: "world" }).waitFor();
    await answer.getByText(/^20 tokens( · [\d.]+ tokens\/s)? · first token [\d.]+ s · demo$/).waitFor();
    expect(await page.locator("[role=status].unseen").textContent()).toBe("The answer is complete.");
    expect(await page.title()).toBe("Say hello – cortex");
    expect(sent(neuron)).toEqual([
      {
        ...{ model: "demo", stream: true, stream_options: { include_usage: true } },
        messages: [{ role: "user", content: "Say hello" }],
      },
    ]);
    neuron.answer = hello;
    await field.fill("Again");
    await field.press("Shift+Enter");
    await field.pressSequentially("please");
    await page.getByRole("button", { name: "Send" }).click();
    await answer.getByText("20 tokens · 40 tokens/s").waitFor();
    expect(sent(neuron)[1]!.messages).toEqual([
      { role: "user", content: "Say hello" },
      { role: "assistant", content: "Hello **world**" },
      { role: "user", content: "Again\nplease" },
    ]);
    expectCalm(opened);
  });

  test("Escape stops; what had come stays, and the neuron is left in peace", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    neuron.answer = (_, response) => {
      openStream(response);
      response.write(role + delta("Half an ans"));
    };
    await field.fill("Go on");
    await field.press("Enter");
    await answer.getByText("Half an ans").waitFor();
    await page.getByRole("button", { name: "Stop" }).waitFor();
    await page.keyboard.press("Escape");
    await neuron.requests[0]!.aborted;
    await answer.getByText(/^stopped/).waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
    await page.reload();
    await answer.getByText("Half an ans").waitFor();
    expectCalm(opened);
  });

  test("a refusal is shown with its message, and asked again on demand", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    neuron.answer = (_, response) =>
      json(response, 400, {
        error: {
          message: "top_p: expected less",
          type: "invalid_request_error",
          code: "bad_request",
          param: "top_p",
        },
      });
    await field.fill("Go on");
    await field.press("Enter");
    const alert = page.getByRole("alert");
    await alert.getByText("top_p: expected less").waitFor();
    await alert.getByText("bad_request").waitFor();
    await screenshot(page, "error");
    neuron.answer = hello;
    await alert.getByRole("button", { name: "Try again" }).click();
    await answer.locator("strong", { hasText: "world" }).waitFor();
    expect(sent(neuron)[1]).toEqual(sent(neuron)[0]);
    await answer.getByText("2/2").waitFor();
    expectCalm(opened);
  });

  test.each([
    ["a neuron that dies", "The neuron broke off", (r: Parameters<MockNeuron["answer"]>[1]) => r.destroy()],
    [
      "an error within the stream",
      "the GPU is gone",
      (r: Parameters<MockNeuron["answer"]>[1]) =>
        r.end('data: {"error":{"message":"the GPU is gone","code":"device_lost"}}\n\n'),
    ],
  ])("%s in the middle of an answer loses nothing", async (_, message, breakOff) => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    const seen = gate();
    neuron.answer = async (_request, response) => {
      openStream(response);
      response.write(role + delta("The first half"));
      await seen.passed;
      breakOff(response);
    };
    await field.fill("Go on");
    await field.press("Enter");
    await answer.getByText("The first half").waitFor();
    seen.open();
    await page.getByRole("alert").getByText(message).waitFor();
    await answer.getByText("The first half").waitFor();
    await page.reload();
    await answer.getByText("The first half").waitFor();
    await page.getByRole("alert").getByText(message).waitFor();
    expectCalm(opened);
  });

  test("a page that is closed while an answer comes keeps what had come", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    neuron.answer = async (_, response) => {
      openStream(response);
      for (let i = 0; !response.destroyed; i++) {
        response.write((i === 0 ? role : "") + delta(`word${i} `));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await field.fill("Go on");
    await field.press("Enter");
    await answer.getByText("word30").waitFor();
    await page.reload();
    await page.getByRole("alert").getByText("The page was closed").waitFor();
    await answer.getByText("word0 word1 word2").waitFor();
    expectCalm(opened);
  });

  test("a gateway that is away says so, and the question waits", async () => {
    const opened = await open();
    const { page, gateway, field } = opened;
    await page.getByText("demo is ready.").waitFor();
    await gateway.stop();
    await field.fill("Anybody?");
    await field.press("Enter");
    await page.getByRole("alert").getByText("The gateway cannot be reached.").waitFor();
    await page.getByText("Anybody?", { exact: true }).first().waitFor();
    await page
      .getByRole("button", { name: /^Model: demo/ })
      .getByText("gateway away")
      .waitFor({ timeout: 15_000 });
    expectCalm(opened);
  });

  test("answers again and questions edited are versions; the old ones stay", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    let count = 0;
    neuron.answer = (request, response) =>
      speaks(role + delta(`Answer ${++count}.`), finish + usageChunk(1, 2, 0) + done)(request, response);
    await field.fill("First question");
    await field.press("Enter");
    await answer.getByText("Answer 1.").waitFor();
    await field.fill("Second question");
    await field.press("Enter");
    await answer.getByText("Answer 2.").waitFor();
    await page.getByRole("button", { name: "Answer again" }).last().click();
    await answer.getByText("Answer 3.").waitFor();
    await answer.getByText("2/2").waitFor();
    expect(sent(neuron)[2]).toEqual(sent(neuron)[1]);
    await answer.getByRole("button", { name: "Earlier version" }).click();
    await answer.getByText("Answer 2.").waitFor();

    const first = page.locator(".message.user").first();
    await first.hover();
    await first.getByRole("button", { name: "Edit" }).click();
    const editor = page.getByRole("textbox", { name: "Edit your question" });
    expect(await editor.inputValue()).toBe("First question");
    await editor.fill("Another question");
    await editor.press("Enter");
    await answer.getByText("Answer 4.").waitFor();
    expect(sent(neuron)[3]!.messages).toEqual([{ role: "user", content: "Another question" }]);
    expect(await page.getByText("Second question").count()).toBe(0);
    await first.hover();
    await first.getByRole("button", { name: "Earlier version" }).click();
    await page.getByText("Second question").waitFor();
    await answer.getByText("Answer 2.").waitFor();

    await field.press("ArrowUp");
    expect(await editor.inputValue()).toBe("Second question");
    await editor.press("Escape");
    expect(await editor.count()).toBe(0);
    expectCalm(opened);
  });

  test("pictures: from a file, by paste and by drop", async () => {
    const opened = await open({ capabilities: ["text", "vision"] });
    const { page, neuron, field, answer } = opened;
    neuron.answer = hello;
    await page.getByText("demo is ready.").waitFor();
    const attached = page.getByRole("list", { name: "Attached pictures" }).getByRole("img");
    await page
      .getByLabel("Pictures to attach")
      .setInputFiles({ name: "a.png", mimeType: "image/png", buffer: png });
    await attached.nth(0).waitFor();
    await give(page, "paste", png);
    await attached.nth(1).waitFor();
    await give(page, "drop", png);
    await attached.nth(2).waitFor();
    await page.getByRole("button", { name: "Remove b.png" }).first().click();
    await attached.nth(2).waitFor({ state: "detached" });
    await field.fill("What is this?");
    await screenshot(page, "attached");
    await field.press("Enter");
    await answer.getByText("20 tokens").waitFor();
    const url = `data:image/png;base64,${png.toString("base64")}`;
    const image = { type: "image_url", image_url: { url } };
    expect(sent(neuron)[0]!.messages).toEqual([
      { role: "user", content: [image, image, { type: "text", text: "What is this?" }] },
    ]);
    await page.reload();
    await page.getByRole("img", { name: "a.png" }).waitFor();
    expectCalm(opened);
  });

  test("a picture that is too large is made smaller, one that is none is refused", async () => {
    const opened = await open({ capabilities: ["text", "vision"] });
    const { page, neuron, field, answer } = opened;
    neuron.answer = hello;
    await page.getByText("demo is ready.").waitFor();
    const input = page.getByLabel("Pictures to attach");
    await input.setInputFiles({ name: "x.png", mimeType: "image/png", buffer: Buffer.from("nothing") });
    await page.locator(".notice").getByText("x.png is not a picture").waitFor();
    const large = await jpeg(page, 4000, 1000);
    await input.setInputFiles({ name: "l.jpg", mimeType: "image/jpeg", buffer: large });
    await page.getByRole("img", { name: "l.jpg" }).waitFor();
    await field.fill("?");
    await field.press("Enter");
    await answer.getByText("20 tokens").waitFor();
    const shown = page.locator(".message.user img");
    expect([await shown.getAttribute("width"), await shown.getAttribute("height")]).toEqual(["2048", "512"]);
    expect(sent(neuron)[0]!.messages[0]!.content[0]!.image_url.url).toMatch(/^data:image\/jpeg;base64,/);
    expectCalm(opened);
  });

  test("a model without vision says so and takes none", async () => {
    const opened = await open();
    const { page } = opened;
    await page.getByText("demo is ready.").waitFor();
    const button = page.getByRole("button", { name: "Attach a picture: demo reads text only, no pictures." });
    expect(await button.getAttribute("aria-disabled")).toBe("true");
    await button.getByText("text only").waitFor();
    await give(page, "drop", png);
    await page.locator(".notice").getByText("demo reads text only").waitFor();
    expect(await page.getByRole("list", { name: "Attached pictures" }).count()).toBe(0);
    expectCalm(opened);
  });

  test("reasoning is folded, and unfolds", async () => {
    const opened = await open();
    const { neuron, field, answer } = opened;
    const middle = gate();
    neuron.answer = speaks(
      role + chunk({ reasoning_content: "First, *think*." }),
      middle.passed,
      delta("Then speak.") + finish + usageChunk(1, 9, 0) + done,
    );
    await field.fill("Think");
    await field.press("Enter");
    await answer.getByText("Thinking…").waitFor();
    const thoughts = answer.getByText("First,");
    expect(await thoughts.isVisible()).toBe(false);
    middle.open();
    await answer.getByText("Then speak.").waitFor();
    expect(await thoughts.isVisible()).toBe(false);
    await answer.locator("summary").click();
    await thoughts.waitFor({ state: "visible" });
    await answer.locator("em", { hasText: "think" }).waitFor();
    await field.fill("And again");
    await field.press("Enter");
    await until(() => neuron.requests.length === 2);
    expect(sent(neuron)[1]!.messages[1]).toEqual({
      ...{ role: "assistant", content: "Then speak.", reasoning_content: "First, *think*." },
    });
    expectCalm(opened);
  });

  test("tools: calls are shown, results are given, the answer follows", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    const call = { index: 0, id: "call_1", type: "function", function: { name: "weather", arguments: "" } };
    neuron.answer = speaks(
      role + chunk({ tool_calls: [call] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '{"city":"Oslo"}' } }] }),
      chunk({}, {}, { finish_reason: "tool_calls" }) + usageChunk(1, 9, 0) + done,
    );
    await page.getByRole("button", { name: "Parameters" }).click();
    const tools = page.getByRole("textbox", { name: "Tools" });
    await tools.fill("{");
    await page.getByText("The tools are not valid JSON").waitFor();
    await tools.fill('[{"type": "function", "function": {"name": "weather"}}]');
    await field.fill("Does it rain in Oslo?");
    await field.press("Enter");
    await answer.getByRole("region", { name: "Call of weather" }).getByText('"city": "Oslo"').waitFor();
    neuron.answer = speaks(role + delta("It rains."), finish + usageChunk(1, 9, 0) + done);
    await page.getByRole("textbox", { name: "Result of weather" }).fill("rain");
    await screenshot(page, "tools");
    await page.getByRole("button", { name: "Send the result" }).click();
    await answer.getByText("It rains.").waitFor();
    const [first, second] = sent(neuron);
    expect(first!.tools).toEqual([{ type: "function", function: { name: "weather" } }]);
    expect(second!.messages.slice(1)).toEqual([
      {
        ...{ role: "assistant", content: null },
        tool_calls: [
          { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } },
        ],
      },
      { role: "tool", tool_call_id: "call_1", content: "rain" },
    ]);
    expectCalm(opened);
  });

  test("parameters are sent, are those of the conversation, and are what the next one begins with", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    neuron.answer = hello;
    await page.getByRole("button", { name: "Parameters" }).click();
    await page.getByLabel("System prompt").fill("Be brief.");
    await page.getByLabel("Temperature").fill("0");
    await page.getByLabel("Top p").fill("0.9");
    await page.getByLabel("Most tokens of an answer").fill("77");
    await page.getByText("off", { exact: true }).click();
    await field.fill("Hi");
    await field.press("Enter");
    await answer.getByText("20 tokens").waitFor();
    expect(sent(neuron)[0]).toMatchObject({
      ...{ temperature: 0, top_p: 0.9, max_tokens: 77, chat_template_kwargs: { enable_thinking: false } },
      messages: [{ role: "system", content: "Be brief." }, {}],
    });
    await page.getByLabel("Temperature").fill("9");
    await page.getByLabel("Top p").fill("");
    await page.getByText("default", { exact: true }).click();
    await page.keyboard.press("Control+Shift+O");
    await field.fill("Hi");
    await field.press("Enter");
    await until(() => neuron.requests.length === 2);
    const second = sent(neuron)[1]!;
    expect(second).toMatchObject({ temperature: 0, max_tokens: 77 });
    expect(Object.keys(second)).not.toContain("top_p");
    expect(Object.keys(second)).not.toContain("chat_template_kwargs");
    expectCalm(opened);
  });

  test("conversations: kept over a reload, renamed, deleted", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    neuron.answer = hello;
    const list = page.getByRole("navigation", { name: "Conversations" });
    for (const text of ["The first", "The second"]) {
      await page.getByRole("button", { name: "New chat" }).click();
      await field.fill(text);
      await field.press("Enter");
      await answer.getByText("20 tokens").waitFor();
    }
    await page.reload();
    await answer.getByText("Hello world").waitFor();
    expect(await list.getByRole("listitem").locator("> a").allTextContents()).toEqual([
      "The second",
      "The first",
    ]);
    await list.getByRole("link", { name: "The first" }).click();
    await page.locator(".bubble", { hasText: "The first" }).waitFor();

    await list.getByRole("button", { name: "Actions for The first" }).click();
    await page.getByRole("menuitem", { name: "Rename…" }).click();
    await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill("Mine");
    await page.keyboard.press("Enter");
    await list.getByRole("link", { name: "Mine" }).waitFor();
    await list.getByRole("button", { name: "Actions for The second" }).click();
    await page.getByRole("menuitem", { name: "Delete…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await list.getByRole("link", { name: "The second" }).waitFor({ state: "detached" });
    await page.reload();
    await list.getByRole("link", { name: "Mine" }).waitFor();
    expect(await list.getByRole("listitem").count()).toBe(1);
    expectCalm(opened);
  });

  test("export and import, into another browser", async () => {
    const opened = await open({ capabilities: ["text", "vision"] });
    const { page, neuron, field, answer, gateway } = opened;
    neuron.answer = hello;
    await page.getByText("demo is ready.").waitFor();
    await page
      .getByLabel("Pictures to attach")
      .setInputFiles({ name: "a.png", mimeType: "image/png", buffer: png });
    await page.getByRole("img", { name: "a.png" }).waitFor();
    await field.fill("To be taken along");
    await field.press("Enter");
    await answer.getByText("20 tokens").waitFor();
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export all" }).click();
    const download = await downloading;
    expect(download.suggestedFilename()).toBe("conversations.json");
    const file = readFileSync(await download.path(), "utf8");

    const other = await browser.newContext();
    const there = await other.newPage();
    there.setDefaultTimeout(10_000);
    await there.goto(gateway.url);
    const input = there.getByLabel("File to import");
    const upload = (text: string) =>
      input.setInputFiles({ name: "c.json", mimeType: "application/json", buffer: Buffer.from(text) });
    await upload(file);
    await there.locator(".notice").getByText("1 imported.").waitFor();
    await there.getByRole("link", { name: "To be taken along" }).click();
    await there.getByText("Hello world").waitFor();
    await there.getByRole("img", { name: "a.png" }).waitFor();
    await upload(file);
    await there.locator(".notice").getByText("0 imported, 1 already here.").waitFor();
    await upload('{"format": "something else"}');
    await there.locator(".notice").getByText("c.json: This file was not exported by this page.").waitFor();
    await other.close();
    expectCalm(opened);
  });

  test("two windows of one browser see each other's conversations", async () => {
    const opened = await open();
    const { page, neuron, field, answer, gateway } = opened;
    neuron.answer = hello;
    const other = await page.context().newPage();
    await other.goto(gateway.url);
    await field.fill("From here");
    await field.press("Enter");
    await answer.getByText("20 tokens").waitFor();
    await other.getByRole("link", { name: "From here" }).click();
    await other.getByText("Hello world").waitFor();
    expectCalm(opened);
  });

  test("another conversation is looked at while an answer comes", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    const middle = gate();
    neuron.answer = speaks(role + delta("Slow "), middle.passed, delta("answer.") + finish + done);
    await field.fill("Slowly");
    await field.press("Enter");
    await answer.getByText("Slow").waitFor();
    await page.getByRole("button", { name: "New chat" }).click();
    await page.getByText("What would you like to know?").waitFor();
    await field.fill("a draft");
    middle.open();
    await page.getByRole("link", { name: "Slowly" }).click();
    await answer.getByText("Slow answer.").waitFor();
    await page.goBack();
    await page.getByText("What would you like to know?").waitFor();
    expect(await field.inputValue()).toBe("a draft");
    expectCalm(opened);
  });

  test("what a model writes runs nothing and loads nothing", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    const hostile = [
      "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
      "![a](https://example.org/steal?q=1) ![b](/v1/models)",
      "[click](javascript:document.title='owned') <https://example.org/>",
      "<iframe src=https://example.org></iframe><style>body{display:none}</style>",
      '```html\n<img src=x onerror="alert(1)">\n```',
    ].join("\n\n");
    neuron.answer = speaks(role + chunk({ content: hostile, reasoning_content: hostile }) + finish + done);
    await field.fill("Attack");
    await field.press("Enter");
    await answer.getByRole("button", { name: "Answer again" }).waitFor();
    expect(await answer.locator("script, img, iframe, style, object, embed").count()).toBe(0);
    const links = await answer
      .locator(".prose > p a")
      .evaluateAll((all) => all.map((a) => a.getAttribute("href")));
    expect(links).toContain("https://example.org/steal?q=1");
    expect(links.filter((href) => !href!.startsWith("https://example.org"))).toEqual([]);
    expect(await page.title()).toBe("Attack – cortex");
    expectCalm(opened);
  });

  test("code is coloured and copied", async () => {
    const opened = await open({ context: { permissions: ["clipboard-read", "clipboard-write"] } });
    const { page, neuron, field, answer } = opened;
    neuron.answer = speaks(role + delta("```js\nlet a = 1;\n```\n") + finish + done);
    await field.fill("Code");
    await field.press("Enter");
    await answer.locator(".hljs-keyword", { hasText: "let" }).waitFor();
    await answer.getByRole("button", { name: "Copy code" }).click();
    await answer.getByRole("button", { name: "Copied" }).waitFor();
    expect(await page.evaluate("navigator.clipboard.readText()")).toBe("let a = 1;");
    expectCalm(opened);
  });

  test("the picker: what is there, how it is doing, by keyboard", async () => {
    const neuron = await new MockNeuron("demo", "other").listen();
    const loading = { phase: "reading" as const, bytes: 43, total_bytes: 100, tensors: 1, total_tensors: 5 };
    neuron.models.set("big", { status: "loading", loading });
    const opened = await open({ neurons: { beta: neuron }, models: { aliases: { small: "demo" } } });
    const { page, field } = opened;
    const picker = page.getByRole("button", { name: "Model: demo, on beta" });
    await picker.focus();
    await page.keyboard.press("Enter");
    const items = page.getByRole("menuitemradio");
    await items.nth(3).waitFor();
    expect((await items.allTextContents()).map((text) => text.replace(/on beta.*/, ""))).toEqual([
      ...["bigloading 43 % · tools", "demo", "other", "small → demo"],
    ]);
    expect(await page.locator(":focus").getAttribute("aria-checked")).toBe("true");
    await screenshot(page, "picker");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Model: other, on beta" }).waitFor();
    neuron.answer = hello;
    await field.fill("Hi");
    await field.press("Enter");
    await page.locator(".answer").getByText("20 tokens").waitFor();
    expect(sent(neuron)[0]!.model).toBe("other");
    neuron.models.set("big", { status: "loaded" });
    await page.getByRole("button", { name: /^Model: other/ }).click();
    await page.getByRole("menuitemradio", { name: /^big\s*on beta/ }).waitFor({ timeout: 20_000 });
    await page.keyboard.press("Escape");
    await items.first().waitFor({ state: "detached" });
    await neuron.kill();
    expectCalm(opened);
  });

  test("a model that is loading shows how far it is, then answers", async () => {
    const neuron = await new MockNeuron().listen();
    const loading = { phase: "reading" as const, bytes: 43, total_bytes: 100, tensors: 1, total_tensors: 5 };
    neuron.models.set("big", { status: "loading", loading });
    const opened = await open({ neurons: { beta: neuron } });
    const { page, field } = opened;
    await page.getByText("big: loading 43 %").waitFor();
    expect(await page.locator(".welcome progress").getAttribute("value")).toBe("43");
    await field.fill("A little early");
    await field.press("Enter");
    await until(() => opened.gateway.gateway.residency.loads.waiting === 1);
    neuron.answer = hello;
    neuron.models.set("big", { status: "loaded" });
    await page.getByRole("button", { name: "Model: big, on beta" }).waitFor();
    await page.locator(".answer").getByText("20 tokens").waitFor();
    await neuron.kill();
    expectCalm(opened);
  });

  test("the fleet, live", async () => {
    const [alpha, beta] = [await new MockNeuron("demo").listen(), await new MockNeuron("demo").listen()];
    beta.models.set("bad", { status: "failed", error: "no such folder" });
    alpha.answer = beta.answer = hello;
    const opened = await open({ neurons: { alpha, beta }, path: "/#/fleet" });
    const { page, gateway } = opened;
    await page.getByRole("heading", { name: "Fleet" }).waitFor();
    const card = page.getByRole("article", { name: "Neuron alpha" });
    await card.getByText("healthy").waitFor();
    await card.getByRole("img", { name: "Memory of Mock 9000: 1.5 GiB used of 24.0 GiB" }).waitFor();
    await card.getByText("demo 7 MiB").waitFor();
    await page.getByText("no such folder").waitFor();
    await page.getByText("2 of 2 neurons healthy").waitFor();
    alpha.loads.set("demo", { in_flight: 3, queue_depth: 2 });
    await page.getByRole("img", { name: "Requests: in flight 3, queued 2" }).waitFor();
    expect(await card.locator("tbody tr").first().locator("td").allTextContents()).toEqual([
      ...[" loaded ", "3", "2", "–", "–", "–", "PinUnload"],
    ]);
    const body = JSON.stringify({ model: "demo", stream: true, messages: [{ role: "user", content: "x" }] });
    await (await fetch(`${gateway.url}/v1/chat/completions`, { method: "POST", body })).text();
    await page.getByRole("img", { name: /^Answers: all models [1-9]/ }).waitFor();
    await page.getByRole("img", { name: /^Time to first token: average 0\.\d+ s/ }).waitFor();
    await screenshot(page, "fleet");
    await beta.kill();
    await page.getByText("1 of 2 neurons healthy").waitFor({ timeout: 20_000 });
    await page.getByRole("article", { name: "Neuron beta" }).getByText("unreachable").waitFor();
    await gateway.stop();
    await page.getByRole("alert").getByText("The gateway does not answer").waitFor();
    await card.getByText("Mock 9000").waitFor();
    await alpha.kill();
    expectCalm(opened);
  });

  test("models are loaded, pinned and unloaded from the page", async () => {
    const alpha = await openKeeper(100, { big: 90 }, "demo");
    const models = { models: [{ id: "demo" }, { id: "big", vram_mb: 100 }] };
    const poll = { interval_s: 0.05, loading_interval_s: 0.03, timeout_s: 2 };
    const cortex = { poll };
    const opened = await open({ neurons: { alpha: alpha.neuron }, models, cortex, path: "/#/fleet" });
    const { page } = opened;
    const card = page.getByRole("article", { name: "Neuron alpha" });
    const happens = page.getByRole("region", { name: "What happens" });
    await card.getByRole("button", { name: "Keep demo on alpha", pressed: false }).click();
    await card.getByRole("button", { name: "Keep demo on alpha", pressed: true }).waitFor();
    await page.getByRole("button", { name: "Load big" }).click();
    const notice = page.locator(".notice");
    await notice.getByText("The model 'big' finds no room").waitFor();
    expect(alpha.told).toEqual([]);
    await card.getByRole("button", { name: "Keep demo on alpha", pressed: true }).click();
    await card.getByRole("button", { name: "Keep demo on alpha", pressed: false }).waitFor();
    const half = gate();
    alpha.gate = half.passed;
    await page.getByRole("button", { name: "Load big" }).click();
    await notice.getByText("big is being loaded.").waitFor();
    await happens.getByText("big waits for room on alpha").waitFor();
    half.open();
    await happens.getByText("demo was unloaded from alpha: for big").waitFor();
    await happens.getByText("big was loaded on alpha in").waitFor();
    await screenshot(page, "fleet-actions");
    expect(await flaws(page)).toEqual([]);
    await card.getByRole("button", { name: "Unload big from alpha" }).click();
    await page.getByRole("button", { name: "Unload", exact: true }).click();
    await notice.getByText("big has left alpha.").waitFor();
    expect(alpha.told).toEqual(["unload demo", "load big", "unload big"]);
    await card.getByText("No model is here.").waitFor();
    expectCalm(opened);
  });

  test("what is at work is unloaded by force alone, and a device is started anew", async () => {
    const alpha = await openKeeper(100, {}, "demo");
    alpha.busy("demo", 2);
    const opened = await open({ neurons: { alpha: alpha.neuron }, path: "/#/fleet" });
    const { page } = opened;
    const card = page.getByRole("article", { name: "Neuron alpha" });
    await card.getByRole("button", { name: "Unload demo from alpha" }).click();
    await page.getByRole("dialog").getByText("It is at work on alpha").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(alpha.told).toEqual([]);
    alpha.busy("demo", 0);
    await card.getByRole("button", { name: "Start alpha anew" }).click();
    await page.getByRole("button", { name: "Start anew", exact: true }).last().click();
    await page.locator(".notice").getByText("alpha is back.").waitFor();
    alpha.busy("demo", 1);
    await page.getByRole("img", { name: "Requests: in flight 1, queued 0" }).waitFor();
    await card.getByRole("button", { name: "Unload demo from alpha" }).click();
    await page.getByRole("button", { name: "Unload by force" }).click();
    await page.locator(".notice").getByText("demo has left alpha.").waitFor();
    expect(alpha.told).toEqual(["restart", "unload demo"]);
    expectCalm(opened);
  });

  test("a fleet without neurons' figures is drawn, too", async () => {
    const neuron = await new MockNeuron().listen();
    neuron.hung = true;
    const opened = await open({ neurons: { slow: neuron }, settled: false, path: "/#/fleet" });
    const { page } = opened;
    await page.getByRole("article", { name: "Neuron slow" }).getByText("starting").waitFor();
    await page.getByText("No neuron has a model").waitFor();
    neuron.hung = false;
    await page.getByText("No model is here.").waitFor({ timeout: 20_000 });
    await neuron.kill();
    expectCalm(opened);
  });

  test("keys: / goes to the field, ? tells them, the order of focus is that of the page", async () => {
    const opened = await open();
    const { page, field } = opened;
    await page.getByText("demo is ready.").waitFor();
    const focused = () =>
      page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent.trim()");
    expect(await focused()).toBe("Message");
    await page.evaluate("document.activeElement.blur()");
    await page.keyboard.press("/");
    expect([await focused(), await field.inputValue()]).toEqual(["Message", ""]);
    await page.evaluate("document.activeElement.blur()");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Skip to the message field" }).focus();
    const order = [];
    for (let i = 0; i < 11; i++) {
      await page.keyboard.press("Tab");
      order.push(await focused());
    }
    expect(order).toEqual([
      ...["New chat", "Fleet", "Import", "Keyboard", "Model: demo, on alpha", "Parameters"],
      ...[expect.any(String), expect.any(String), expect.any(String)], // suggestions
      ...["Message", expect.stringContaining("Attach a picture")],
    ]);
    expectCalm(opened);
  });

  const looks = [
    ["light", 1280, 800],
    ["dark", 1280, 800],
    ["light", 390, 844],
    ["dark", 320, 640],
  ] as const;
  test("where keys are needed the page asks for one, keeps it, and asks again when it is refused", async () => {
    const alice = keyFor("alice");
    const opened = await open({ cortex: { auth: { mode: "required" } }, keys: [alice.key] });
    const { page, gateway, neuron, field, answer } = opened;
    neuron.answer = hello;
    const asked = page.getByRole("dialog", { name: "API key" });
    await asked.getByRole("button", { name: "Cancel" }).click();
    await page.goto(`${gateway.url}/#/fleet`);
    await page.getByRole("button", { name: "Enter it" }).click();
    await asked.getByLabel("Key").fill(keyFor("nobody").text);
    await asked.getByRole("button", { name: "Save" }).click();
    await asked.getByLabel("Key").fill(alice.text); // it was refused, and the window is there again
    await asked.getByRole("button", { name: "Save" }).click();
    await page.getByText("1 of 1 neuron healthy").waitFor();
    await page.goto(gateway.url);
    await field.fill("Hi");
    await field.press("Enter");
    await answer.getByText("Hello world").waitFor();
    expect(neuron.requests[0]!.headers["x-cortex-principal"]).toBe("alice");
    expect(await flaws(page)).toEqual([]);
    expectCalm(opened);
  });

  test.each(looks)(
    "%s, %d wide: legible, named, and no wider than the screen",
    async (colorScheme, width, height) => {
      const opened = await open({ context: { colorScheme, viewport: { width, height } } });
      const { page, neuron, field, answer, gateway } = opened;
      const name = `${colorScheme}-${width}`;
      const parts = letter.match(/.{1,9}/gs)!.map((content) => chunk({ content }));
      const timings = { timings: { prefill_ms: 120, decode_ms: 3456 } };
      neuron.answer = speaks(
        role + chunk({ reasoning_content: "They want a *list* reversed." }),
        ...parts,
        chunk({}, timings, { finish_reason: "stop" }) + usageChunk(42, 237, 10) + done,
      );
      await page.getByText("demo is ready.").waitFor();
      expect(await flaws(page)).toEqual([]);
      await field.fill("Write a function that reverses a linked list, and tell me how it works");
      await field.press("Enter");
      await answer.getByText("237 tokens").waitFor();
      await screenshot(page, `${name}-chat-end`);
      await answer.locator("summary").click();
      await page.evaluate("document.querySelector('.thread').scrollTop = 0");
      await page.getByRole("button", { name: "To the end" }).waitFor();
      await screenshot(page, `${name}-chat`);
      expect(await flaws(page)).toEqual([]);
      await page.getByRole("button", { name: "Parameters" }).click();
      await screenshot(page, `${name}-parameters`);
      expect(await flaws(page)).toEqual([]);
      if (width < 820) {
        await page.getByRole("button", { name: "Close parameters" }).click();
        await page.getByRole("button", { name: "Conversations" }).click();
        await page.getByRole("link", { name: /^Write a function/ }).waitFor();
        await screenshot(page, `${name}-list`);
        expect(await flaws(page)).toEqual([]);
        await page.keyboard.press("Escape");
      }
      await page.goto(`${gateway.url}/#/fleet`);
      await page.getByText("1 of 1 neuron healthy").waitFor();
      await page.getByRole("img", { name: /^Answers: all models \d/ }).waitFor();
      await screenshot(page, `${name}-fleet`);
      expect(await flaws(page)).toEqual([]);
      expectCalm(opened);
    },
  );
});

const letter = `Here is a function that **reverses** a linked list:

\`\`\`typescript
interface Node<T> { value: T; next: Node<T> | null }

/** Turns every link around. */
export function reverse<T>(head: Node<T> | null): Node<T> | null {
  let previous: Node<T> | null = null;
  for (let node = head; node; ) {
    const next = node.next;
    node.next = previous; // the link turns here
    [previous, node] = [node, next];
  }
  return previous;
}
\`\`\`

It takes *O(n)* time and \`O(1)\` memory; see [the article](https://example.org/).

### How it works
1. Walk the list once.
2. Turn each \`next\` around:
   - remember what follows
   - point back
3. The last node is the new head.

| step | previous | node | what has happened so far, in a few words |
| --- | --- | ---: | --- |
| 0 | – | 1 | nothing |
| 1 | 1 | 2 | the first link was turned |

> A list of one element is its own reverse.
`;
