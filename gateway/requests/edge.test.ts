// Clients that do not behave: too slow, too large, gone, or not speaking HTTP at all.

import type { Socket } from "node:net";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { chat, keyFor, openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import type { TestGateway } from "../fixtures/gateway.fixture.ts";
import type { Answer } from "../fixtures/mock-neuron.fixture.ts";
import { delta, done, finish, openStream, role } from "../fixtures/mock-neuron.fixture.ts";
import { chatRoute, openServer } from "../servers/server.fixture.ts";

/** A connection on which a test writes what it likes. */
async function dial(gateway: TestGateway): Promise<Socket & { heard: () => string }> {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {});
  let heard = "";
  socket.on("data", (bytes) => (heard += bytes.toString("latin1")));
  await new Promise((connected) => socket.once("connect", connected));
  return Object.assign(socket, { heard: () => heard });
}

function request(path: string, body: string, headers = ""): string {
  return `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;
}

/** A stream of a size that no buffer holds, written as fast as it is taken. */
const events = 2000;
const piece = "x".repeat(20_000);
function flood(): { answer: Answer; written: () => number } {
  let bytes = 0;
  const answer: Answer = async (_, response) => {
    openStream(response);
    response.write(role);
    let wake = () => {};
    response.on("drain", () => wake()).once("close", () => wake());
    for (let i = 0; i < events && !response.destroyed; i++) {
      const text = delta(piece);
      bytes += text.length;
      if (!response.write(text)) await new Promise<void>((awake) => (wake = awake));
    }
    response.end(finish + done);
  };
  return { answer, written: () => bytes };
}

/** Until it has begun to grow, and then has not changed for a while. */
async function settled(figure: () => number): Promise<number> {
  let [last, same] = [0, 0];
  while (last === 0 || same < 5) {
    await new Promise((wake) => setTimeout(wake, 100));
    same = figure() === last ? same + 1 : 0;
    last = figure();
  }
  return last;
}

test.each<[string, string, object, boolean]>([
  ["a chat that passes", "/v1/chat/completions", {}, false],
  ["a message that is translated", "/v1/messages", { max_tokens: 100_000 }, false],
  [
    "a response that is translated",
    "/v1/responses",
    { input: "Hello", messages: undefined, store: false },
    false,
  ],
  ["a stream of another make's that is mended", "/v1/chat/completions", {}, true],
])(
  "a reader that sleeps holds the neuron back, and memory stays flat: %s",
  async (_, path, more, isOther) => {
    const { answer, written } = flood();
    const neuron = await openNeuron("demo");
    neuron.answer = answer;
    const other = await openServer({ data: [{ id: "demo" }] });
    other.routes[chatRoute] = (_asked, response) => answer(neuron.requests[0]!, response);
    const gateway = await openGateway(
      isOther ? { servers: { a: { url: other.url } } } : { neurons: { a: neuron } },
    );
    const socket = await dial(gateway);
    const before = process.memoryUsage();
    socket.pause();
    socket.write(request(path, JSON.stringify({ ...chat, ...more, stream: true })));
    const held = await settled(written);
    const { heapUsed, external } = process.memoryUsage();
    expect(held).toBeGreaterThan(piece.length);
    expect(held).toBeLessThan(16e6); // of 40 MB: what the sockets' buffers on the way hold
    expect(heapUsed + external - before.heapUsed - before.external).toBeLessThan(40e6);
    let taken = 0;
    socket.removeAllListeners("data");
    socket.on("data", (bytes) => (taken += bytes.length));
    socket.resume();
    await until(() => taken > events * piece.length);
    expect(written()).toBeGreaterThan(events * piece.length);
  },
);

test("clients that vanish leave nothing behind: neurons are let go, counts return to nothing", async () => {
  const alice = keyFor("alice", { concurrency: 500 });
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("a"));
  };
  const cortex = { auth: { mode: "required" } };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex, keys: [alice.key] });
  const { fleet, running } = gateway.gateway;
  const vanish = async (i: number) => {
    const socket = await dial(gateway);
    const path = ["/v1/chat/completions", "/v1/messages", "/v1/responses"][i % 3]!;
    const body = JSON.stringify({ ...chat, input: "Hello", max_tokens: 9, stream: i % 2 === 0 });
    const whole = request(path, body, `x-api-key: ${alice.text}\r\n`);
    const cut = i % 5 === 0 ? whole.slice(0, -7) : whole; // some in the middle of their request
    socket.write(cut);
    if (i % 5 !== 0) await new Promise((wake) => setTimeout(wake, i % 7));
    socket.resetAndDestroy();
  };
  for (let wave = 0; wave < 4; wave++)
    await Promise.all(Array.from({ length: 30 }, (_, i) => vanish(30 * wave + i)));
  await until(() => running.size === 0);
  const sum = () =>
    fleet.neurons
      .flatMap(({ models }) => models)
      .reduce((n, { use, ahead }) => n + use.running + Math.max(0, ahead), 0);
  await until(() => sum() === 0);
  const stays = async () => {
    const entry = await gateway.gateway.store.get(`limit.${alice.key.id}`);
    return Object.keys((JSON.parse(entry!.value) as { running: object }).running).length;
  };
  while ((await stays()) > 0) await new Promise((wake) => setTimeout(wake, 20));
  neuron.answer = (_, response) => {
    openStream(response);
    response.end(role + delta("well") + finish + done);
  };
  const response = await post(gateway, { ...chat, stream: true }, { headers: alice.headers });
  expect(await response.text()).toMatch(/well.*\[DONE\]/s);
  expect(gateway.gateway.breakers.stateOf("a")).toBe("closed");
});

test.each<[string, string, string, number]>([
  ["a length above the limit", "content-length: 99999999999\r\n\r\n", "", 413],
  [
    "a body without end",
    "transfer-encoding: chunked\r\n\r\n",
    `10000\r\n${"x".repeat(0x10000)}\r\n`.repeat(20),
    413,
  ],
  ["a length that is none", "content-length: lots\r\n\r\n", "", 400],
  ["two lengths", "content-length: 5\r\ncontent-length: 6\r\n\r\n{}", "", 400],
  ["a length and chunks", "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "", 400],
  ["headers without end", `x: ${"y".repeat(100_000)}\r\n\r\n`, "", 431],
])("%s is refused at once, and the connection does not go on", async (_, headers, body, status) => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: { gateway: { body_limit_mb: 1 } } });
  const socket = await dial(gateway);
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n${headers}`);
  socket.write(body);
  await until(() => socket.heard() !== "");
  expect(socket.heard()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  await until(() => socket.closed || socket.readableEnded || /connection: close/i.test(socket.heard()));
  expect(neuron.requests).toEqual([]);
  expect((await post(gateway, chat)).status).toBe(200);
});

test("without a key not even the body is waited for", async () => {
  const cortex = { auth: { mode: "required" } };
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") }, cortex });
  const socket = await dial(gateway);
  socket.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 30000000\r\n\r\n{");
  await until(() => socket.heard().includes("invalid_api_key"));
  expect(socket.heard()).toMatch(/^HTTP\/1\.1 401 /);
});

test("noise is answered with 400, and a request that never comes is given up", async () => {
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") } });
  const socket = await dial(gateway);
  socket.write("\x16\x03\x01\x02\x00 what is this\r\n\r\n");
  await until(() => socket.readableEnded || socket.closed);
  expect(socket.heard()).toMatch(/^HTTP\/1\.1 400 /);
  const { openApp } = await import("../app.ts");
  const app = await openApp(gateway.gateway);
  expect([app.server.requestTimeout, app.server.headersTimeout]).toEqual([300_000, 60_000]);
  await app.close();
});
