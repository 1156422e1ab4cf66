import { expect, test } from "vitest";
import { chat, openGateway, openNeuron, post, samples, until } from "../fixtures/gateway.fixture.ts";
import type { TestGateway } from "../fixtures/gateway.fixture.ts";
import { openExchange, timingOf } from "./exchange.ts";
import {
  chatAnswer,
  delta,
  done,
  finish,
  json,
  openStream,
  role,
  usageChunk,
} from "../fixtures/mock-neuron.fixture.ts";

const here = `{model="demo",neuron="a"}`;

async function ended(gateway: TestGateway, count: number): Promise<void> {
  await until(() => gateway.logs.filter((line) => line.event === "request").length === count);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("tokens and requests are counted exactly, asked for or not, streamed or not", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = (request, response) => {
    if (!request.body.includes('"stream":true')) return json(response, 200, chatAnswer("hi", 3)); // prompt 11
    openStream(response);
    response.end(role + delta("x") + finish + usageChunk(100, 20, 64) + done);
  };
  const gateway = await openGateway({ neurons: { a: neuron }, models: { aliases: { other: "demo" } } });
  await (await post(gateway, chat)).text();
  await (await post(gateway, { ...chat, stream: true })).text();
  await (
    await post(gateway, { ...chat, model: "other", stream: true, stream_options: { include_usage: true } })
  ).text();
  await ended(gateway, 3);
  expect(await samples(gateway, "cortex_requests_total")).toEqual({ [here]: 3 });
  expect(await samples(gateway, "cortex_prompt_tokens_total")).toEqual({ [here]: 211 });
  expect(await samples(gateway, "cortex_completion_tokens_total")).toEqual({ [here]: 43 });
  expect(await samples(gateway, "cortex_cached_prompt_tokens_total")).toEqual({ [here]: 128 });
  expect(await samples(gateway, "cortex_request_errors_total")).toEqual({});
  expect(await samples(gateway, "cortex_request_duration_seconds_count")).toEqual({ [here]: 3 });
  expect(await samples(gateway, "cortex_time_to_first_token_seconds_count")).toEqual({ [here]: 2 });
  expect(await samples(gateway, "cortex_tokens_per_second_count")).toEqual({ [here]: 3 });
});

test("errors are counted by code; what a client wrote is never a label", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron } });
  await post(gateway, "{");
  await post(gateway, { ...chat, model: 'evil"} 1\n' });
  neuron.answer = (_, response) => json(response, 400, { error: { message: "m", code: "bad_request" } });
  await post(gateway, chat);
  neuron.answer = (_, response) => json(response, 400, { error: { message: "m", code: "no such\ncode" } });
  await post(gateway, chat);
  neuron.answer = (_, response) => {
    openStream(response);
    response.end(role);
  };
  await (await post(gateway, { ...chat, stream: true })).text();
  await ended(gateway, 5);
  expect(await samples(gateway, "cortex_request_errors_total")).toEqual({
    '{model="",neuron="",code="malformed_json"}': 1,
    '{model="",neuron="",code="model_not_found"}': 1,
    '{model="demo",neuron="a",code="bad_request"}': 1,
    '{model="demo",neuron="a",code="upstream_error"}': 1,
    '{model="demo",neuron="a",code="upstream_interrupted"}': 1,
  });
  expect(await samples(gateway, "cortex_requests_total")).toEqual({ '{model="",neuron=""}': 2, [here]: 3 });
});

test("a client that hangs up is a request, not an error", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = () => {};
  const gateway = await openGateway({ neurons: { a: neuron } });
  const hangUp = new AbortController();
  const response = post(gateway, chat, { signal: hangUp.signal }).catch(() => {});
  await until(() => neuron.requests.length === 1);
  hangUp.abort();
  await response;
  await ended(gateway, 1);
  expect(await samples(gateway, "cortex_requests_total")).toEqual({ [here]: 1 });
  expect(await samples(gateway, "cortex_request_errors_total")).toEqual({});
});

test("what a client had of an answer that it left is counted, though its neuron never said how much", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("a") + delta("b") + delta("c"));
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const hangUp = new AbortController();
  const response = await post(gateway, { ...chat, stream: true }, { signal: hangUp.signal });
  await until(() => gateway.gateway.traffic.report()[0]?.tokens === 3);
  hangUp.abort();
  await response.text().catch(() => {});
  await ended(gateway, 1);
  expect(await samples(gateway, "cortex_completion_tokens_total")).toEqual({ [here]: 3 });
  expect(await samples(gateway, "cortex_prompt_tokens_total")).toEqual({});
});

test("first token: not the role, not a keepalive; duration: to the last byte", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = async (_, response) => {
    openStream(response);
    response.write(role + ": keepalive\n\n" + delta(""));
    await pause(300);
    response.write(delta("first"));
    await pause(300);
    response.end(delta("last") + finish + usageChunk(1, 7, 0) + done);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  await (await post(gateway, { ...chat, stream: true })).text();
  await ended(gateway, 1);
  const first = (await samples(gateway, "cortex_time_to_first_token_seconds_sum"))[here]!;
  const duration = (await samples(gateway, "cortex_request_duration_seconds_sum"))[here]!;
  const rate = (await samples(gateway, "cortex_tokens_per_second_sum"))[here]!;
  expect(first).toBeGreaterThan(0.29);
  expect(first).toBeLessThan(3);
  expect(duration).toBeGreaterThan(first + 0.29);
  expect(rate).toBeGreaterThan(6 / 3); // six tokens after the first, in 0.3 s and what the machine adds
  expect(rate).toBeLessThanOrEqual(6 / 0.295);
  const line = gateway.logs.find((l) => l.event === "request")!;
  expect(line).toMatchObject({
    model: "demo",
    neuron: "a",
    status: 200,
    stream: true,
    path: "/v1/chat/completions",
  });
  expect(line).toMatchObject({ prompt_tokens: 1, completion_tokens: 7, cached_tokens: 0 });
  expect(line.first_token_ms).toBeCloseTo(first * 1000, -1);
});

test.each([
  ["a window", { firstDeltaAt: 1500, lastDeltaAt: 3500 }, 21, { firstTokenS: 0.5, tokensPerSecond: 10 }],
  [
    "too short a window",
    { firstDeltaAt: 1500, lastDeltaAt: 1550 },
    21,
    { firstTokenS: 0.5, tokensPerSecond: 7 },
  ],
  ["one token", { firstDeltaAt: 1500, lastDeltaAt: 3500 }, 1, { tokensPerSecond: 1 / 3 }],
  [
    "no stream",
    { firstDeltaAt: undefined, lastDeltaAt: undefined },
    6,
    { firstTokenS: undefined, tokensPerSecond: 2 },
  ],
  ["no tokens", { firstDeltaAt: undefined, lastDeltaAt: undefined }, 0, { tokensPerSecond: undefined }],
])("rates of %s", (_, times, completionTokens, want) => {
  const usage = { promptTokens: 1, completionTokens, cachedTokens: 0 };
  const exchange = {
    ...openExchange("/", undefined),
    startedAt: 1000,
    seen: { ...times, usage, deltas: 0, errorCode: undefined },
  };
  expect(timingOf(exchange, 4000)).toMatchObject({ durationS: 3, ...want });
});

test("gauges follow the fleet, and what is gone leaves no label", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron()];
  b.models.set("big", { status: "loading" });
  a.loads.set("demo", { in_flight: 3, queue_depth: 5 });
  const gateway = await openGateway({
    neurons: { a, b },
    cortex: { poll: { interval_s: 0.05, timeout_s: 0.2 } },
  });
  const big = `{model="big",neuron="b"}`;
  expect(await samples(gateway, "cortex_neuron_healthy")).toEqual({ '{neuron="a"}': 1, '{neuron="b"}': 1 });
  expect(await samples(gateway, "cortex_model_in_flight")).toEqual({ [here]: 3, [big]: 0 });
  expect(await samples(gateway, "cortex_model_queue_depth")).toEqual({ [here]: 5, [big]: 0 });
  expect(await samples(gateway, "cortex_model_loaded")).toEqual({ [here]: 1, [big]: 0 });
  await b.kill();
  await until(() => gateway.gateway.fleet.neuron("b").state === "unreachable");
  expect(await samples(gateway, "cortex_neuron_healthy")).toEqual({ '{neuron="a"}': 1, '{neuron="b"}': 0 });
  expect(await samples(gateway, "cortex_model_in_flight")).toEqual({ [here]: 3 });
});

test("histograms, with the buckets that dashboards know", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron } });
  await (await post(gateway, chat)).text();
  await ended(gateway, 1);
  const text = await (await fetch(`${gateway.metricsUrl}/metrics`)).text();
  const buckets = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"`, "gm"))].map((m) => m[1]);
  expect(buckets("cortex_request_duration_seconds")).toEqual(
    "0.1 0.5 1 2.5 5 10 30 60 120 300 600 1200 +Inf".split(" "),
  );
  expect(buckets("cortex_tokens_per_second")).toEqual("1 2.5 5 10 15 20 30 40 60 80 120 200 +Inf".split(" "));
  expect(text).toMatch(/^process_cpu_seconds_total /m);
});
