// A request's trace through a whole gateway, as a collector is told of it.
import { expect, onTestFinished, test, vi } from "vitest";
import { openCollector } from "../fixtures/collector.fixture.ts";
import { openGateway, openNeuron } from "../fixtures/gateway.fixture.ts";
import { chatAnswer, delta, done, finish, json, openStream, role } from "../fixtures/mock-neuron.fixture.ts";

const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async function open() {
  const { url, spans } = await openCollector();
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { alpha: neuron }, cortex: { traces: { endpoint: url } } });
  onTestFinished(() => gateway.stop());
  const ask = (body: object, headers: Record<string, string> = {}) =>
    fetch(`${gateway.url}/v1/chat/completions`, {
      ...{
        method: "POST",
        body: JSON.stringify({ model: "demo", messages: [{ role: "user", content: "Hi" }], ...body }),
      },
      headers: { "content-type": "application/json", ...headers },
    }).then((answer) => answer.text());
  return { neuron, gateway, spans, ask };
}

test("the caller's trace goes on through the gateway to the neuron, with the first token", async () => {
  const { neuron, gateway, spans, ask } = await open();
  neuron.answer = (_request, response) => {
    openStream(response);
    response.end(role + delta("Hello") + finish + done);
  };
  await ask({ stream: true }, { traceparent: caller });
  await gateway.stop();
  const root = spans.find(({ name }) => name === "POST /v1/chat/completions")!;
  const asked = spans.find(({ name }) => name === "neuron")!;
  expect(spans.map(({ name }) => name)).toEqual(["route", "neuron", root.name]);
  expect(root).toMatchObject({
    ...{
      traceId: caller.split("-")[1],
      parentSpanId: caller.split("-")[2],
      events: ["first_token"],
      status: 0,
    },
    attributes: {
      "cortex.neuron": "alpha",
      "gen_ai.request.model": "demo",
      "http.response.status_code": 200,
    },
  });
  expect(asked).toMatchObject({ parentSpanId: root.spanId, attributes: { "cortex.neuron": "alpha" } });
  expect(neuron.requests[0]!.headers["traceparent"]).toBe(`00-${root.traceId}-${asked.spanId}-01`);
});

test("a refusal says why, and what was said is in no span", async () => {
  const { neuron, gateway, spans, ask } = await open();
  neuron.answer = (_request, response) => json(response, 200, chatAnswer("Geheim", 3));
  await ask({ messages: [{ role: "user", content: "Geheim" }] });
  await ask({ model: "nobody" });
  await gateway.stop();
  await vi.waitFor(() => expect(spans.length).toBeGreaterThan(2));
  const failed = spans.find(({ attributes }) => attributes["error.type"] === "model_not_found");
  expect(failed).toMatchObject({ name: "POST /v1/chat/completions", status: 2 });
  expect(JSON.stringify(spans)).not.toContain("Geheim");
});
