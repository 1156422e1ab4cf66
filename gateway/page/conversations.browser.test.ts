// Conversations in the page: what is kept of them, and the pictures and parameters that they hold.

import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { until } from "../fixtures/gateway.fixture.ts";
import { delta, done, finish, role } from "../fixtures/mock-neuron.fixture.ts";
import { expectCalm, hello, inBrowser, sent, tealPng } from "./browser.fixture.ts";
import { busyStorage, gate, give, jpeg, screenshot, speaks } from "./page.fixture.ts";

inBrowser("conversations", (open) => {
  let png: Buffer;
  beforeAll(async () => {
    png = await tealPng();
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

  test("an answer that has ended is kept, however slow the browser's storage is", async () => {
    const opened = await open();
    const { page, neuron, field, answer } = opened;
    neuron.answer = hello;
    await page.getByText("demo is ready.").waitFor();
    await busyStorage(page, 1000);
    await field.fill("Hi");
    await field.press("Enter");
    await answer.getByText("20 tokens").waitFor();
    await page.reload();
    await answer.getByText("20 tokens").waitFor();
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

    const other = await page.context().browser()!.newContext();
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
});
