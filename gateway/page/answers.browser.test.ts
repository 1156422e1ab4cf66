// Answers in the page: how they come, stop, fail, and are asked for again.

import { expect, test } from "vitest";
import { until } from "../fixtures/gateway.fixture.ts";
import type { MockNeuron } from "../fixtures/mock-neuron.fixture.ts";
import { delta, done, finish, json, openStream, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";
import { expectCalm, hello, inBrowser, sent } from "./browser.fixture.ts";
import { chunk, gate, screenshot, speaks } from "./page.fixture.ts";

inBrowser("answers", (open) => {
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
});
