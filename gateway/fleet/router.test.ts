import { expect, test } from "vitest";
import type { ModelView, NeuronState, NeuronView } from "./fleet.ts";
import { route } from "./router.ts";
import type { Sight } from "../fixtures/views.fixture.ts";
import { modelView, neuronView } from "../fixtures/views.fixture.ts";

function model(id: string, status = "loaded", more: Sight = {}): ModelView {
  return modelView(id, { status, ...more });
}

function neuron(name: string, models: ModelView[], state: NeuronState = "healthy", more = {}): NeuronView {
  return neuronView(name, models, { state, ...more });
}

const busy = (inFlight: number, queueDepth = 0, ahead = 0) =>
  model("m", "loaded", { inFlight, queueDepth, ahead });

test.each<[string, NeuronView[], string]>([
  ["the only one", [neuron("a", [model("m")])], "a"],
  ["loaded before loading", [neuron("a", [model("m", "loading")]), neuron("b", [model("m")])], "b"],
  ["the least in flight", [neuron("a", [busy(2)]), neuron("b", [busy(1)]), neuron("c", [busy(3)])], "b"],
  ["in flight and queued together", [neuron("a", [busy(1, 4)]), neuron("b", [busy(4)])], "b"],
  ["what was sent since the poll counts", [neuron("a", [busy(0, 0, 2)]), neuron("b", [busy(1)])], "b"],
  ["what ended since the poll counts", [neuron("a", [busy(3, 0, -3)]), neuron("b", [busy(1)])], "a"],
  ["a tie by name", [neuron("b", [busy(1)]), neuron("a", [busy(1)])], "a"],
  [
    "doubt weighs more than load",
    [neuron("a", [busy(0)], "healthy", { strikes: 1 }), neuron("b", [busy(9)])],
    "b",
  ],
  ["a doubtful one is better than none", [neuron("a", [busy(0)], "healthy", { strikes: 2 })], "a"],
  [
    "not one that goes down",
    [neuron("a", [model("m")], "healthy", { draining: true }), neuron("b", [busy(5)])],
    "b",
  ],
  ["not one out of reach", [neuron("a", [model("m")], "unreachable"), neuron("b", [busy(5)])], "b"],
  [
    "not one that is about to go",
    [neuron("a", [model("m", "loaded", { use: { leaving: "eviction" } })]), neuron("b", [busy(5)])],
    "b",
  ],
  [
    "not one whose address is unknown",
    [neuron("a", [model("m", "loaded", { url: undefined })]), neuron("b", [busy(5)])],
    "b",
  ],
])("sends to %s", (_, neurons, want) => {
  expect(route(neurons, "m")).toMatchObject({ kind: "send", neuron: want });
});

test.each<[string, NeuronView[], object]>([
  ["loading", [neuron("a", [model("m", "loading", { percent: 43 })])], { kind: "loading", percent: 43 }],
  ["loaded, address to come", [neuron("a", [model("m", "loaded", { url: undefined })])], { kind: "loading" }],
  ["recovering", [neuron("a", [model("m", "recovering")])], { kind: "loading" }],
  [
    "its device is started anew",
    [neuron("a", [model("m", "loaded", { use: { leaving: "restart" } })])],
    { kind: "loading" },
  ],
  [
    "it makes room",
    [neuron("a", [model("m", "loaded", { use: { leaving: "eviction" } })])],
    { kind: "unavailable", status: "unloading" },
  ],
  ["failed", [neuron("a", [model("m", "failed")])], { kind: "unavailable", status: "failed" }],
  [
    "a status of the future",
    [neuron("a", [model("m", "hibernating")])],
    { kind: "unavailable", status: "hibernating" },
  ],
  [
    "its neuron goes down",
    [neuron("a", [model("m")], "healthy", { draining: true })],
    { kind: "unavailable", status: "loaded" },
  ],
  [
    "its neuron is out of reach",
    [neuron("a", [model("m")], "unreachable"), neuron("b", [])],
    { kind: "unreachable" },
  ],
  ["no neuron in reach", [neuron("a", [model("m")], "unreachable")], { kind: "no_neuron" }],
  ["neurons still starting", [neuron("a", [], "starting")], { kind: "no_neuron" }],
  ["unknown", [neuron("a", [model("n")])], { kind: "unknown" }],
])("%s", (_, neurons, want) => {
  expect(route(neurons, "m")).toMatchObject(want);
});

test("a neuron that failed this request is not asked again", () => {
  const both = [neuron("a", [busy(0)]), neuron("b", [busy(7)])];
  expect(route(both, "m", new Set(["a"]))).toEqual({ kind: "send", neuron: "b", url: "http://m" });
  expect(route(both, "m", new Set(["a", "b"])).kind).not.toBe("send");
});
