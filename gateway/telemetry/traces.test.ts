import { expect, test } from "vitest";
import { openCollector } from "../fixtures/collector.fixture.ts";
import { openExchange } from "./exchange.ts";
import { Traces } from "./traces.ts";

const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("a request, its phases and its first token are one trace, under the caller's", async () => {
  const { url, spans } = await openCollector();
  const traces = new Traces({ endpoint: url, ratio: 1, version: "1.2.3" });
  const trace = traces.begin("POST", "/v1/messages", { traceparent: caller });
  trace.phase("route").end();
  const failed = trace.phase("neuron", { "cortex.neuron": "a" });
  failed.end("upstream_unreachable");
  const neuron = trace.phase("neuron", { "cortex.neuron": "b" });
  const { traceparent } = neuron.headers;
  neuron.end();
  const usage = { promptTokens: 5, completionTokens: 7, cachedTokens: 3 };
  const seen = {
    firstDeltaAt: performance.now(),
    lastDeltaAt: undefined,
    deltas: 1,
    usage,
    errorCode: undefined,
  };
  trace.end({ ...openExchange("/v1/messages", "req-1"), model: "demo", neuron: "b", status: 200, seen });
  await traces.close();
  const root = spans.find(({ name }) => name === "POST /v1/messages")!;
  expect(root).toMatchObject({
    ...{ traceId: caller.split("-")[1], parentSpanId: caller.split("-")[2], events: ["first_token"] },
    attributes: {
      "cortex.request_id": "req-1",
      "gen_ai.usage.output_tokens": 7,
      "http.response.status_code": 200,
    },
  });
  const below = spans.filter((span) => span !== root);
  expect(below.map(({ name, status }) => [name, status])).toEqual([
    ["route", 0],
    ["neuron", 2],
    ["neuron", 0],
  ]);
  for (const span of below) expect(span.parentSpanId).toBe(root.spanId);
  expect(traceparent).toBe(`00-${root.traceId}-${below[2]!.spanId}-01`);
});

test("a failed request says with what; an unsampled one is passed on unsampled and not sent", async () => {
  const { url, spans } = await openCollector();
  const traces = new Traces({ endpoint: `${url}/`, ratio: 1, version: "1" });
  const failed = traces.begin("POST", "/a", {});
  failed.end({ ...openExchange("/a", undefined), errorCode: "model_not_found", status: 404 });
  const unsampled = traces.begin("POST", "/b", { traceparent: caller.replace(/01$/, "00") });
  const { headers } = unsampled.phase("neuron");
  unsampled.end(openExchange("/b", undefined));
  await traces.close();
  expect(headers.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
  expect(spans.map(({ name, status, attributes }) => [name, status, attributes["error.type"]])).toEqual([
    ["POST /a", 2, "model_not_found"],
  ]);
});

test("a collector that is away costs nothing but the traces", async () => {
  const traces = new Traces({ endpoint: "http://127.0.0.1:9", ratio: 1, version: "1" });
  traces.begin("POST", "/a", {}).end(openExchange("/a", undefined));
  await traces.close();
});
