// The client of the terminal's commands, against servers that do not do as they should.
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { AnswerError, call, chat } from "./client.ts";

/** The address of a server that answers everything in one way. */
async function server(answer: (reply: ServerResponse) => void): Promise<string> {
  const one = createServer((_, reply) => answer(reply));
  await new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    one.closeAllConnections();
    one.close();
  });
  return `http://127.0.0.1:${(one.address() as AddressInfo).port}`;
}

async function failure(doing: Promise<unknown>, endpoint: string): Promise<string> {
  const error: unknown = await doing.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AnswerError);
  return (error as Error).message.replaceAll(endpoint, "HERE");
}

test.each<[string, (reply: ServerResponse) => void, RegExp]>([
  [
    "a page",
    (reply) => reply.writeHead(404).end("<html>"),
    /^HERE\/path fails, and gives no reason \(404\)$/,
  ],
  ["an error that is a text", (reply) => reply.writeHead(400).end('{"error": "no"}'), /^no \(400\)$/],
  [
    "an envelope",
    (reply) => reply.writeHead(400).end('{"error": {"message": "no", "code": "c"}}'),
    /^no \(400\)$/,
  ],
  ["null", (reply) => reply.end("null"), /^HERE\/path answers, but not with JSON$/],
  [
    "half of an answer",
    (reply) => {
      reply.writeHead(200, { "content-length": 100 }).write("{");
      setTimeout(() => reply.destroy(), 20);
    },
    /^HERE broke off its answer \(UND_ERR_SOCKET\)$/,
  ],
])("%s", async (_, answer, want) => {
  const endpoint = await server(answer);
  expect(await failure(call({ endpoint }, "/path"), endpoint)).toMatch(want);
});

test("an answer that begins and does not end in time", async () => {
  const endpoint = await server((reply) => reply.writeHead(200).write("{"));
  const signal = AbortSignal.timeout(200);
  expect(await failure(call({ endpoint }, "/path", { signal }), endpoint)).toMatch(
    /^HERE broke off its answer \(no answer in time\)$/,
  );
});

test("a call that says nothing of it has half a minute, a patient one all the time", async () => {
  const endpoint = await server((reply) => setTimeout(() => reply.end("{}"), 150));
  const soon = AbortSignal.timeout(50);
  const limit = vi.spyOn(AbortSignal, "timeout").mockReturnValue(soon);
  onTestFinished(() => limit.mockRestore());
  expect(await failure(call({ endpoint }, "/path"), endpoint)).toMatch(
    /^nobody answers on HERE \(no answer in time\)/,
  );
  expect(limit).toHaveBeenCalledWith(30_000);
  expect(await call({ endpoint }, "/path", { patient: true })).toEqual({});
});

async function readStream(endpoint: string, signal?: AbortSignal): Promise<void> {
  const chunks = chat({ endpoint }, {}, signal);
  while (!(await chunks.next()).done) continue;
}

test.each<[string, string, RegExp]>([
  ["breaks off", 'data: {"choices": []}\n\n', /^HERE broke off its answer \(/],
  ["holds null", "data: null\n\n", /^the stream holds something else than JSON: null$/],
  ["holds an error", 'data: {"error": {"message": "lost"}}\n\n', /^lost$/],
])("a stream that %s", async (_, text, want) => {
  const endpoint = await server((reply) => {
    reply.writeHead(200, { "content-type": "text/event-stream" }).write(text);
    setTimeout(() => reply.destroy(), 20);
  });
  expect(await failure(readStream(endpoint), endpoint)).toMatch(want);
});

test("who stops a stream gets the reason that they gave", async () => {
  const endpoint = await server((reply) => reply.writeHead(200).write('data: {"choices": []}\n\n'));
  const stop = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => stop.abort(reason), 50);
  await expect(readStream(endpoint, stop.signal)).rejects.toBe(reason);
});
