import { expect, test } from "vitest";
import type { FleetReport } from "../../fleet/protocol.ts";
import type { Sample } from "./history.ts";
import { counts, firstTokens, remember, sampleOf, span, spanOf, speeds } from "./history.ts";

const zero: Sample = {
  ...{ at: 0, uptimeS: 0, tokens: 0, firstTokens: 0, firstTokenSecs: 0, inFlight: 0, queued: 0 },
};
const sample = (at: number, more: Partial<Sample>): Sample => ({ ...zero, at, uptimeS: at / 1000, ...more });

test("a reading sums over neurons, models and flows", () => {
  const model = {
    ...{ id: "demo", status: "loaded", devices: [0], vram_used_mb: 7, in_flight: 2, queue_depth: 3 },
    ...{ pinned: false, leaving: false, tok_s_prefill: null, tok_s_decode: null },
  };
  const base = {
    kind: "neuron" as const,
    state: "healthy" as const,
    draining: false,
    circuit: "closed" as const,
    devices: [],
  };
  const neuron = { name: "a", ...base, models: [model] };
  const flow = { model: "demo", neuron: "a", requests: 1, errors: 0, tokens: 10 };
  const report: FleetReport = {
    ...{ version: "1", uptime_secs: 9, status: "ok", models: [] },
    neurons: [neuron, { ...neuron, name: "b", models: [model, model] }],
    traffic: [
      { ...flow, first_tokens: 1, first_token_secs: 0.5 },
      { ...flow, first_tokens: 3, first_token_secs: 1 },
    ],
    ...{ loads: [], happenings: [] },
  };
  expect(sampleOf(report, 77)).toEqual({
    ...{ at: 77, uptimeS: 9, tokens: 20, firstTokens: 4, firstTokenSecs: 1.5, inFlight: 6, queued: 9 },
  });
});

test("differences: speed, time to the first token, and neither across a restart", () => {
  const samples = [
    sample(1000, { tokens: 10 }),
    sample(3000, { tokens: 110, firstTokens: 2, firstTokenSecs: 0.5 }),
    sample(5000, { tokens: 109, firstTokens: 2, firstTokenSecs: 0.5 }),
    sample(7000, { tokens: 5, uptimeS: 1 }),
  ];
  const values = (points: { value: number | undefined }[]) => points.map(({ value }) => value);
  expect(values(speeds(samples))).toEqual([50, 0, undefined]);
  expect(values(firstTokens(samples))).toEqual([0.25, undefined, undefined]);
  expect(speeds(samples).map(({ at }) => at)).toEqual([3000, 5000, 7000]);
  expect(speeds([])).toEqual([]);
});

test("what is too old is forgotten", () => {
  const samples = [sample(0, { inFlight: 1 }), sample(1000, { inFlight: 2 })];
  const kept = remember(samples, sample(span + 500, { inFlight: 3 }));
  expect(counts(kept, "inFlight")).toEqual([
    { at: 1000, value: 2 },
    { at: span + 500, value: 3 },
  ]);
});

test.each([
  [[], 60_000],
  [[5000], 60_000],
  [[5000, 65_500, 7000], 60_500],
  [[5000, 999_999_999], span],
])("points at %j are shown over %d ms", (times, want) => {
  expect(spanOf(times.map((at) => ({ at, value: 1 })))).toBe(want);
});
