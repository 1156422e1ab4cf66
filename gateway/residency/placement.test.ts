import { expect, test } from "vitest";
import type { Stay } from "./eviction.ts";
import type { NeuronView } from "../fleet/fleet.ts";
import type { Terms, Wanted } from "./placement.ts";
import { feasibleOn, isIdle, place, residentsOn } from "./placement.ts";
import type { Sight } from "../fixtures/views.fixture.ts";
import { card, deviceView, modelView, neuronView } from "../fixtures/views.fixture.ts";

const wanted = (more: Partial<Wanted> = {}): Wanted => ({
  ...{ id: "m", needMb: 10, minDevices: 1, minDeviceMb: undefined, pinnedOn: [], priority: 100 },
  ...more,
});

function terms(stays: Record<string, Partial<Stay>> = {}, sizes: Record<string, number> = {}): Terms {
  const stay = { priority: 100, pinned: false, idleUnloadMs: 0 };
  return {
    ...{ strategy: "lru", now: 100_000 },
    stayOf: (_neuron, model) => ({ ...stay, ...stays[model] }),
    memoryOf: (model) => sizes[model],
  };
}

type Case = [string, NeuronView[], Partial<Wanted>, { neuron: string; evict?: string[]; devices?: number[] }];

const busy: Sight = { memoryMb: 20, use: { running: 1 } };
const idle: Sight = { memoryMb: 20 };

test.each<Case>([
  ["the only one", [card("a", 24)], {}, { neuron: "a" }],
  ["where it fits", [card("a", 9), card("b", 10)], {}, { neuron: "b" }],
  ["where it fits beside what is there", [card("a", 24, { x: idle }), card("b", 24)], {}, { neuron: "b" }],
  [
    "what is not ours counts",
    [
      card("a", 24, {}, { devices: [deviceView(24, { othersMb: 15 })] }),
      card("b", 24, { x: { memoryMb: 13 } }),
    ],
    {},
    { neuron: "b" },
  ],
  [
    "idle models go rather than busy ones",
    [card("a", 24, { x: busy }), card("b", 24, { y: idle })],
    {},
    { neuron: "b", evict: ["y"] },
  ],
  ["busy models go when nothing else can", [card("a", 24, { x: busy })], {}, { neuron: "a", evict: ["x"] }],
  [
    "a model whose size is only in the catalogue holds room",
    [card("a", 24, { sized: { memoryMb: null, status: "loading" } }), card("b", 20)],
    {},
    { neuron: "b" },
  ],
  [
    "what failed to load holds none",
    [card("a", 24, { x: { memoryMb: 20, status: "failed" } }), card("b", 12)],
    {},
    { neuron: "a" },
  ],
  [
    "its own place does not stand in its way",
    [card("a", 12, { m: { memoryMb: 10, use: { leaving: "eviction" } } })],
    {},
    { neuron: "a" },
  ],
  ["without doubt before with", [card("a", 99, {}, { strikes: 1 }), card("b", 10)], {}, { neuron: "b" }],
  [
    "a card before a software device",
    [card("a", 99, {}, { devices: [deviceView(99, { kind: "software" })] }), card("b", 24)],
    {},
    { neuron: "b" },
  ],
  [
    "free software before making room on a card",
    [card("a", 24, { x: idle }), card("b", 24, {}, { devices: [deviceView(24, { kind: "software" })] })],
    {},
    { neuron: "b" },
  ],
  [
    "where nothing else is being loaded",
    [card("a", 99, { x: { status: "loading" } }), card("b", 50)],
    {},
    { neuron: "b" },
  ],
  [
    "the fewest to unload",
    [card("a", 24, { x: { memoryMb: 9 }, y: { memoryMb: 9 } }), card("b", 24, { z: { memoryMb: 24 } })],
    { needMb: 20 },
    { neuron: "b", evict: ["z"] },
  ],
  [
    "the fewest requests",
    [card("a", 99, { x: { inFlight: 3 } }), card("b", 50, { y: { inFlight: 1 } })],
    {},
    { neuron: "b" },
  ],
  ["the most room", [card("a", 24), card("b", 25)], {}, { neuron: "b" }],
  ["a tie by name", [card("b", 24), card("a", 24)], {}, { neuron: "a" }],
  ["where it is pinned", [card("a", 99), card("b", 12)], { pinnedOn: ["b"] }, { neuron: "b" }],
  ["not where it failed already", [card("a", 99), card("tried", 200)], {}, { neuron: "a" }],
  ["not where they go down", [card("a", 99, {}, { draining: true }), card("b", 12)], {}, { neuron: "b" }],
  [
    "not where nobody answers",
    [card("a", 99, {}, { state: "unreachable" }), card("b", 12)],
    {},
    { neuron: "b" },
  ],
  ["not on a stranger's server", [card("a", 99, {}, { kind: "openai" }), card("b", 12)], {}, { neuron: "b" }],
  ["a model of unknown size anywhere", [card("a", 4, { x: idle })], { needMb: undefined }, { neuron: "a" }],
  ["a device of unknown size", [card("a", null, { x: idle })], {}, { neuron: "a" }],
  [
    "on as many devices as it needs, each large enough",
    [
      card("a", 99),
      neuronView("b", [], {
        devices: [deviceView(8), deviceView(20, { index: 1 }), deviceView(16, { index: 2 })],
      }),
    ],
    { minDevices: 2, minDeviceMb: 16, needMb: 30 },
    { neuron: "b", devices: [1, 2] },
  ],
  [
    "a model on two devices counts on each with its half",
    [
      neuronView("a", [modelView("x", { memoryMb: 20, devices: [0, 1] })], {
        devices: [deviceView(20), deviceView(24, { index: 1 })],
      }),
    ],
    { needMb: 14 },
    { neuron: "a", devices: [1] },
  ],
])("loads %s", (_, neurons, more, want) => {
  const found = place(neurons, wanted(more), terms({}, { sized: 20 }), new Set(["tried"]));
  expect(found).toEqual({ kind: "place", evict: [], devices: [0], ...want });
});

test.each<[string, NeuronView[], Partial<Wanted>, string]>([
  ["no device is large enough", [card("a", 9)], {}, "infeasible"],
  ["no neuron is the one it is pinned on", [card("a", 99)], { pinnedOn: ["b"] }, "infeasible"],
  ["too few devices", [card("a", 99)], { minDevices: 2 }, "infeasible"],
  ["no neuron at all", [], {}, "infeasible"],
  ["only strangers' servers", [card("a", 99, {}, { kind: "openai" })], {}, "infeasible"],
  ["out of reach", [card("a", 99, {}, { state: "unreachable" }), card("b", 5)], {}, "offline"],
  ["going down", [card("a", 99, {}, { draining: true })], {}, "offline"],
  ["never reached, so who knows", [neuronView("a", [], { state: "starting" })], {}, "offline"],
  ["a pinned model lies there", [card("a", 24, { pinned: idle })], {}, "full"],
  ["a dearer model lies there", [card("a", 24, { dear: busy })], {}, "full"],
  [
    "others' programs fill it",
    [card("a", 24, {}, { devices: [deviceView(24, { othersMb: 20 })] })],
    {},
    "full",
  ],
])("%s", (_, neurons, more, kind) => {
  const stays = terms({ pinned: { pinned: true }, dear: { priority: 101 } });
  expect(place(neurons, wanted(more), stays).kind).toBe(kind);
});

test("a dear model displaces the dear one", () => {
  const found = place(
    [card("a", 24, { dear: idle })],
    wanted({ priority: 101 }),
    terms({ dear: { priority: 101 } }),
  );
  expect(found).toMatchObject({ kind: "place", evict: ["dear"] });
});

test("feasible: wherever it would fit alone, whatever lies there now", () => {
  const neurons = [
    card("full", 24, { x: busy }),
    card("small", 9),
    card("away", 99, {}, { state: "unreachable" }),
  ];
  expect(feasibleOn(neurons, wanted(), terms())).toEqual(["full"]);
  expect(feasibleOn(neurons, wanted({ pinnedOn: ["small"] }), terms())).toEqual([]);
});

test.each<[string, Sight, boolean]>([
  ["nobody asks it", {}, true],
  ["this gateway's request is with it", { use: { running: 1 } }, false],
  ["another's is", { inFlight: 1 }, false],
  ["one waits", { queueDepth: 1 }, false],
  ["all that was in flight has ended since the poll", { inFlight: 2, ahead: -2 }, true],
  ["just loaded, and who waited has not come yet", { use: { loadedAt: 96_000, served: false } }, false],
  ["nobody came for it", { use: { loadedAt: 95_000, served: false } }, true],
  ["just loaded, and who waited has been served", { use: { loadedAt: 99_999, served: true } }, true],
])("idle when %s: %#", (_, sight, want) => {
  expect(isIdle(modelView("m", sight), 100_000)).toBe(want);
});

test("what is loading or unloading is not idle, and what failed is not there", () => {
  const neuron = card("a", 24, {
    a: { status: "loading" },
    b: { status: "unloading" },
    c: { status: "failed" },
  });
  expect(residentsOn(neuron, terms()).map(({ id, idle }) => [id, idle])).toEqual([
    ["a", false],
    ["b", false],
  ]);
});
