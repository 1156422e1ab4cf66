// The fleet in the page, its models in the picker, and how all of it looks.

import { expect, test } from "vitest";
import { keyFor, until } from "../fixtures/gateway.fixture.ts";
import { openKeeper } from "../fixtures/lifecycle.fixture.ts";
import { done, MockNeuron, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";
import { expectCalm, hello, inBrowser, sent } from "./browser.fixture.ts";
import { chunk, flaws, gate, screenshot, speaks } from "./page.fixture.ts";

inBrowser("the fleet, and how the page looks", (open) => {
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
