import { expect, test } from "vitest";
import { EventStream, JsonBody } from "./answer.ts";

const role = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n`;
const keepalive = `: waiting\n\n`;
const emptyDelta = `data: {"choices":[{"index":0,"delta":{"content":""}}]}\n\n`;
const hello = `data: {"choices":[{"index":0,"delta":{"content":"héllo \\"prompt_tokens\\" \\"error\\""}}]}\n\n`;
const finish = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n`;
const usage = `data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2}}}\n\n`;
const done = `data: [DONE]\n\n`;
const whole = role + keepalive + emptyDelta + hello + finish + usage + done;

function clock(): () => number {
  let time = 0;
  return () => ++time;
}

function feed(text: string, size: number, hideUsage: boolean) {
  const stream = new EventStream({ hideUsage, now: clock() });
  const bytes = Buffer.from(text);
  const out: Buffer[] = [];
  for (let i = 0; i < bytes.length; i += size) out.push(stream.push(bytes.subarray(i, i + size)));
  out.push(stream.end());
  return { stream, text: Buffer.concat(out).toString() };
}

test.each([1, 2, 3, 7, 64, 1000])("pieces of %i bytes: same bytes, same facts", (size) => {
  const { stream, text } = feed(whole, size, false);
  expect(text).toBe(whole);
  expect(stream.seen.usage).toEqual({ promptTokens: 7, completionTokens: 3, cachedTokens: 2 });
  expect(stream.seen).toMatchObject({ firstDeltaAt: 1, lastDeltaAt: 2, errorCode: undefined });
  expect(stream.complete).toBe(true);
});

test.each([1, 5, 1000])("pieces of %i bytes: usage is left out for who did not ask", (size) => {
  const { stream, text } = feed(whole, size, true);
  expect(text).toBe(whole.replace(usage, ""));
  expect(stream.seen.usage?.completionTokens).toBe(3);
});

test.each([1, 4, 1000])("CRLF streams, pieces of %i bytes", (size) => {
  const crlf = whole.replaceAll("\n", "\r\n");
  const { stream, text } = feed(crlf, size, true);
  expect(text).toBe(crlf.replace(usage.replaceAll("\n", "\r\n"), ""));
  expect(stream.complete).toBe(true);
});

test("usage beside choices stays, even unasked", () => {
  const both = finish.replace("}\n\n", `,"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n`);
  const { stream, text } = feed(both, 9, true);
  expect(text).toBe(both);
  expect(stream.seen.usage?.promptTokens).toBe(1);
});

test.each([
  ["content", `{"choices":[{"delta":{"content":"x"}}]}`, true],
  ["reasoning_content", `{"choices":[{"delta":{"reasoning_content":"x"}}]}`, true],
  ["a tool call", `{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`, true],
  ["completion text", `{"choices":[{"text":"x"}]}`, true],
  ["a role", `{"choices":[{"delta":{"role":"assistant","content":null}}]}`, false],
  ["an empty delta", `{"choices":[{"delta":{"content":""}}]}`, false],
  ["no choices", `{"choices":[]}`, false],
  ["not JSON", `hello`, false],
])("first delta: %s", (_, data, counts) => {
  const { stream } = feed(`data: ${data}\n\n`, 1000, false);
  expect(stream.seen.firstDeltaAt !== undefined).toBe(counts);
});

test("an unfinished event is held back, finished ones are not", () => {
  const stream = new EventStream({ hideUsage: false });
  expect(stream.push(Buffer.from(role + `data: {"cho`)).toString()).toBe(role);
  expect(stream.push(Buffer.from(`ices":[]}`)).length).toBe(0);
  expect(stream.push(Buffer.from(`\n\n`)).toString()).toBe(`data: {"choices":[]}\n\n`);
});

test("an error event completes the stream and gives its code", () => {
  const { stream } = feed(`data: {"error":{"message":"gone","code":"device_lost"}}\n\n`, 11, false);
  expect(stream.complete).toBe(true);
  expect(stream.seen.errorCode).toBe("device_lost");
});

test("an event beyond a mebibyte goes out in pieces and is torn until its end", () => {
  const stream = new EventStream({ hideUsage: true });
  const long = Buffer.from(`data: "${"x".repeat(1.5 * 2 ** 20)}"`);
  expect(stream.push(long).equals(long)).toBe(true);
  expect(stream.torn).toBe(true);
  expect(stream.push(Buffer.from("more")).toString()).toBe("more");
  expect(stream.push(Buffer.from(`\n\n${usage}`)).toString()).toBe("\n\n");
  expect(stream.torn).toBe(false);
});

test.each([1, 13, 1_000_000])("a whole JSON answer in pieces of %i bytes", (size) => {
  const filler = size === 1 ? 10 : 100_000;
  const text = `{"choices":[{"message":{"content":"\\"usage\\":{ ${"y".repeat(filler)}"}}],"usage": {"prompt_tokens":5,"completion_tokens":9,"total_tokens":14},"timings":{"prefill_ms":1}}`;
  const body = new JsonBody();
  const bytes = Buffer.from(text);
  const out: Buffer[] = [];
  for (let i = 0; i < bytes.length; i += size) out.push(body.push(bytes.subarray(i, i + size)));
  out.push(body.end());
  expect(Buffer.concat(out).toString()).toBe(text);
  expect(body.seen.usage).toEqual({ promptTokens: 5, completionTokens: 9, cachedTokens: 0 });
});
