import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { chat, openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import { delta, done, finish, json, openStream, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";

const streaming = { ...chat, stream: true };

/** Reads the response piece by piece, as it arrives. */
function reader(response: Response) {
  const source = response.body!.getReader();
  const decoder = new TextDecoder();
  return async () => decoder.decode((await source.read()).value);
}

test("an event reaches the client before the neuron sends the next", async () => {
  const neuron = await openNeuron("demo");
  let neuronsEnd!: ServerResponse;
  neuron.answer = (_, response) => {
    openStream(response);
    neuronsEnd = response;
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const response = await post(gateway, streaming); // headers are here though no event is
  const next = reader(response);
  for (const event of [role, delta("he"), delta("llo"), finish]) {
    neuronsEnd.write(event);
    expect(await next()).toBe(event);
  }
  neuronsEnd.end(done);
  expect(await next()).toBe(done);
  expect(await next()).toBe("");
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  expect(response.headers.get("x-cortex-neuron")).toBe("a");
});

test.each<[string, { stream_options?: object }, boolean]>([
  ["did not ask for usage", {}, false],
  ["asked for it", { stream_options: { include_usage: true } }, true],
  ["declined it", { stream_options: { include_usage: false, x: 1 } }, false],
])("the neuron is always asked for usage; a client that %s", async (_, options, gets) => {
  const neuron = await openNeuron("demo");
  const usage = usageChunk(5, 2, 1);
  neuron.answer = (_, response) => {
    openStream(response);
    response.end(role + delta("x") + finish + usage + done);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const text = await (await post(gateway, { ...streaming, ...options })).text();
  expect(text).toBe(role + delta("x") + finish + (gets ? usage : "") + done);
  const sent = JSON.parse(neuron.requests[0]!.body) as { stream_options: unknown };
  expect(sent.stream_options).toEqual({ ...options.stream_options, include_usage: true });
});

test("a client that reads nothing stops the neuron, and memory stays", async () => {
  const neuron = await openNeuron("demo");
  const event = delta("x".repeat(16_000));
  let written = 0;
  let drains = 0;
  neuron.answer = async (request, response) => {
    openStream(response);
    while (written < 400e6 && !response.destroyed) {
      written += event.length;
      if (response.write(event)) continue;
      await Promise.race([once(response, "drain"), request.aborted]);
      drains++;
    }
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const body = JSON.stringify(streaming);
  const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
  const before = process.memoryUsage().arrayBuffers;
  socket.pause();
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await until(() => written > 0);
  let last = -1;
  while (last !== written) {
    last = written;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  expect(written).toBeLessThan(40e6); // what sockets on the way hold, of 400 MB
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(30e6);
  const stalledAt = drains;
  socket.on("data", () => {}).resume();
  await until(() => drains > stalledAt); // and it flows again
  socket.destroy();
  await neuron.requests[0]!.aborted;
});

test("a client that hangs up in a stream ends the neuron's work", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) => {
    openStream(response);
    response.write(role);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const hangUp = new AbortController();
  const response = await post(gateway, streaming, { signal: hangUp.signal });
  await reader(response)();
  hangUp.abort();
  await neuron.requests[0]!.aborted;
  await until(() => gateway.logs.some((line) => line.event === "request" && line.client_closed === true));
});

test.each([
  ["streaming", streaming],
  ["not streaming", chat],
])("%s: a client that hangs up before the headers ends it too, and nobody else is asked", async (_, body) => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  a.answer = b.answer = () => {};
  const gateway = await openGateway({ neurons: { a, b } });
  const hangUp = new AbortController();
  const response = post(gateway, body, { signal: hangUp.signal });
  await until(() => a.requests.length === 1);
  hangUp.abort();
  await expect(response).rejects.toThrow();
  await a.requests[0]!.aborted;
  await until(() => gateway.logs.some((line) => line.event === "request" && line.status === 499));
  expect(b.requests.length).toBe(0);
  expect(gateway.gateway.running.size).toBe(0);
});

test("a neuron killed in the middle of a stream: an error event, the end, no [DONE]", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = async (_, response) => {
    openStream(response);
    response.write(role + delta("half") + `data: {"choi`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await neuron.kill();
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const text = await (await post(gateway, streaming)).text();
  const [error, rest] = [
    text.slice((role + delta("half")).length),
    text.slice(0, (role + delta("half")).length),
  ];
  expect(rest).toBe(role + delta("half"));
  expect(error).toMatch(/^data: .*\n\n$/);
  expect(JSON.parse(error.slice(6))).toEqual({
    error: {
      message: "The neuron broke off in the middle of its answer.",
      type: "server_error",
      param: null,
      code: "upstream_interrupted",
    },
  });
});

test("a stream that ends cleanly but without [DONE] is not passed off as whole", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) => {
    openStream(response);
    response.end(role + delta("half"));
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  expect(await (await post(gateway, streaming)).text()).toMatch(/"code":"upstream_interrupted"\}\}\n\n$/);
});

test("the neuron's own error event ends a stream without another", async () => {
  const neuron = await openNeuron("demo");
  const error = `data: {"error":{"message":"the device is lost","type":"server_error","code":"device_lost","param":null}}\n\n`;
  neuron.answer = (_, response) => {
    openStream(response);
    response.end(role + error);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  expect(await (await post(gateway, streaming)).text()).toBe(role + error);
  await until(() => gateway.logs.some((line) => line.event === "request" && line.error === "device_lost"));
});

test("a neuron that falls silent is given up after idle_timeout_s, not before", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = async (_, response) => {
    openStream(response);
    for (let i = 0; i < 5; i++) {
      response.write(": still here\n\n");
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: { gateway: { idle_timeout_s: 0.4 } } });
  const text = await (await post(gateway, streaming)).text();
  expect(text.match(/: still here\n\n/g)?.length).toBe(5);
  expect(text).toMatch(/"code":"upstream_timeout"/);
  await neuron.requests[0]!.aborted;
});

test("a neuron without a first byte is given up after response_timeout_s with a 504", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = () => {};
  const gateway = await openGateway({
    neurons: { a: neuron },
    cortex: { gateway: { response_timeout_s: 0.1 } },
  });
  const response = await post(gateway, chat);
  expect(response.status).toBe(504);
  await neuron.requests[0]!.aborted;
});

test("a whole answer cut off in its middle cannot pass for whole; before its first byte it is a 502", async () => {
  const neuron = await openNeuron("demo");
  let pieces = 2;
  neuron.answer = async (_, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
    response.flushHeaders();
    for (let i = 0; i < pieces; i++) {
      response.write(`{"choices":`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    response.destroy();
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  await expect(post(gateway, chat).then((r) => r.text())).rejects.toThrow();
  for (pieces of [1, 0]) {
    const response = await post(gateway, chat); // one piece is held back until the next, or the end, has come
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ error: { code: "upstream_interrupted" } });
  }
});

test("a request in flight at shutdown may end; one that does not gets an error event; then nothing listens", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) => {
    openStream(response);
    response.write(role);
  };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: { gateway: { drain_s: 2 } } });
  const slow = await post(gateway, streaming);
  let answer = () => {};
  neuron.answer = (_, response) => {
    answer = () => json(response, 200, { ok: true });
  };
  const quick = post(gateway, chat);
  await until(() => neuron.requests.length === 2);
  const stopped = gateway.stop();
  answer();
  expect(await (await quick).json()).toEqual({ ok: true });
  expect(await slow.text()).toMatch(/"code":"shutting_down"\}\}\n\n$/);
  await stopped;
  await expect(fetch(`${gateway.url}/health`)).rejects.toThrow();
});
