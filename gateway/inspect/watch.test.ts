import { expect, test } from "vitest";
import { openGateway, openNeuron } from "../fixtures/gateway.fixture.ts";
import { ratesOf, watch } from "./watch.ts";

const place = { model: "demo", neuron: "a" };
const nothing = { ...place, requests: 0, errors: 0, tokens: 0, first_tokens: 0, first_token_secs: 0 };

test("rates are differences over the time between two looks", () => {
  const before = {
    at: 1000,
    traffic: [{ ...nothing, requests: 3, tokens: 100, first_tokens: 3, first_token_secs: 9 }],
  };
  const now = {
    at: 5000,
    traffic: [{ ...nothing, requests: 5, errors: 1, tokens: 180, first_tokens: 5, first_token_secs: 10 }],
  };
  expect(ratesOf(before, now)).toEqual([
    "MODEL  NEURON  REQUESTS/S  ERRORS  TOKENS/S  FIRST TOKEN",
    "demo   a       0.5         1       20.0      0.50 s",
  ]);
  expect(ratesOf(now, { ...now, at: 7000 })).toEqual([]);
});

test("a gateway that was started anew counts from zero", () => {
  const before = { at: 0, traffic: [{ ...nothing, requests: 90, tokens: 900 }] };
  const now = { at: 2000, traffic: [{ ...nothing, requests: 1, tokens: 8 }] };
  expect(ratesOf(before, now)[1]).toBe("demo   a       0.5         0       4.0       -");
});

test("shows again and again until the signal, also when the gateway is gone", async () => {
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") } });
  const stop = new AbortController();
  const shown: string[] = [];
  const settings = { json: false, intervalMs: 5, signal: stop.signal };
  await watch({ endpoint: gateway.url }, settings, (text) => {
    if (shown.push(text) === 3) stop.abort();
  });
  expect(shown.map((text) => text.split("\n")[0])).toEqual(
    Array(3).fill(expect.stringContaining(": ok, 1 of 1")),
  );
  const once = new AbortController();
  await watch({ endpoint: gateway.url }, { ...settings, json: true, signal: once.signal }, (text) => {
    expect([JSON.parse(text), text]).toMatchObject([
      { health: { status: "ok" } },
      expect.stringMatching(/^[^\n]+$/),
    ]);
    once.abort();
  });
  const again = new AbortController();
  await watch(
    { endpoint: "http://127.0.0.1:9" },
    { ...settings, json: true, signal: again.signal },
    (text) => {
      expect(JSON.parse(text)).toMatchObject({ error: { code: "no_answer" } });
      again.abort();
    },
  );
});
