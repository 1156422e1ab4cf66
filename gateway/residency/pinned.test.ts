import { expect, test } from "vitest";
import type { Sight } from "../fixtures/views.fixture.ts";
import { card, deviceView } from "../fixtures/views.fixture.ts";
import type { NeuronView } from "../fleet/fleet.ts";
import type { Attempts, Next } from "./pinned.ts";
import { attempted, nextPins, pauseAfter } from "./pinned.ts";
import type { Terms, Wanted } from "./placement.ts";

/** By name: MiB, neurons, priority. */
type Pins = Record<string, [number | undefined, string[], number?]>;

const wanted = ([id, [needMb, pinnedOn, priority = 100]]: [string, Pins[string]]): Wanted => ({
  ...{ id, needMb, minDevices: 1, minDeviceMb: undefined, pinnedOn, priority },
});

/** By which the models of `pins` are pinned, and others are not. */
function terms(pins: Pins): Terms {
  return {
    ...{ strategy: "lru", now: 100_000 },
    stayOf: (neuron, id) => {
      const [, pinnedOn, priority = 100] = pins[id] ?? [0, []];
      return { priority, pinned: pinnedOn.includes(neuron), idleUnloadMs: 0 };
    },
    memoryOf: (id) => pins[id]?.[0],
  };
}

function decide(neurons: NeuronView[], pins: Pins, rests: string[] = []): string[] {
  const said = (next: Next) =>
    `${next.kind} ${next.pin.model} on ${next.pin.neuron}${next.kind === "wait" ? `: ${next.why}` : ""}`;
  const all = Object.entries(pins).map(wanted);
  return nextPins(neurons, all, terms(pins), ({ model }) => rests.includes(model)).map(said);
}

const idle: Sight = { memoryMb: 20 };
const busy: Sight = { memoryMb: 20, use: { running: 1 } };

test.each<[string, NeuronView[], Pins, string[], string[]?]>([
  ["nothing is pinned", [card("a", 24)], {}, []],
  ["it is not there", [card("a", 24)], { p: [10, ["a"]] }, ["load p on a"]],
  ["it is there", [card("a", 24, { p: { memoryMb: 10 } })], { p: [10, ["a"]] }, []],
  ["it failed", [card("a", 24, { p: { status: "failed" } })], { p: [10, ["a"]] }, ["load p on a"]],
  ["its last load failed just now", [card("a", 24)], { p: [10, ["a"]] }, [], ["p"]],
  [
    "on each of its neurons, and on no other",
    [card("a", 24), card("b", 24), card("c", 24)],
    { p: [10, ["a", "c"]] },
    ["load p on a", "load p on c"],
  ],
  [
    "one after another, the highest priority first",
    [card("a", 24)],
    { p: [10, ["a"]], q: [4, ["a"], 200] },
    ["load q on a"],
  ],
  [
    "the next while the first rests",
    [card("a", 24)],
    { p: [10, ["a"]], q: [4, ["a"], 200] },
    ["load p on a"],
    ["q"],
  ],
  ["another is being loaded there", [card("a", 24, { x: { status: "loading" } })], { p: [1, ["a"]] }, []],
  ["an idle model makes room", [card("a", 24, { x: idle })], { p: [10, ["a"]] }, ["load p on a"]],
  [
    "one at work makes none, for nobody waits",
    [card("a", 24, { x: busy })],
    { p: [10, ["a"]] },
    ["wait p on a: full"],
  ],
  [
    "another pinned one makes none",
    [card("a", 24, { q: idle })],
    { p: [10, ["a"], 900], q: [20, ["a"]] },
    ["wait p on a: full"],
  ],
  [
    "two that do not fit together: the lower waits, whether the higher is there, rests or is not",
    [card("a", 24), card("b", 24, { q: idle })],
    { p: [10, ["a", "b"]], q: [20, ["a", "b"], 200] },
    ["wait p on a: promised", "wait p on b: full"],
    ["q"],
  ],
  [
    "one that fits nowhere is promised nothing",
    [card("a", 24)],
    { p: [10, ["a"]], q: [30, ["a"], 200] },
    ["wait q on a: infeasible", "load p on a"],
  ],
  [
    "what is not ours may go: the lower takes its own room meanwhile",
    [card("a", 24, {}, { devices: [deviceView(24, { othersMb: 10 })] })],
    { p: [4, ["a"]], q: [20, ["a"], 200] },
    ["wait q on a: full", "load p on a"],
  ],
  ["of a device of unknown size", [card("a", null)], { p: [10, ["a"]], q: [9, ["a"]] }, ["load p on a"]],
  ["of a model of unknown size", [card("a", 24)], { p: [undefined, ["a"]] }, ["load p on a"]],
  [
    "a neuron that is out of reach, drained, or no neuron",
    [
      card("a", 24, {}, { state: "unreachable" }),
      card("b", 24, {}, { draining: true }),
      card("c", 24, {}, { kind: "openai" }),
    ],
    { p: [10, ["a", "b", "c"]] },
    [],
  ],
])("%s", (_, neurons, pins, want, rests) => {
  expect(decide(neurons, pins, rests)).toEqual(want);
});

test("pauses double up to a quarter of an hour, and a long rest forgives", () => {
  let last: Attempts | undefined;
  const pauses = Array.from({ length: 12 }, (_, i) => {
    last = attempted(last, i * 1000);
    return pauseAfter(last) / 1000;
  });
  expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
  expect(attempted(last, last!.at + 1_800_000)).toEqual({ count: 1, at: last!.at + 1_800_000 });
});
