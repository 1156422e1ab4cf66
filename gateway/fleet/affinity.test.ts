import { expect, test } from "vitest";
import type { NeuronView } from "./fleet.ts";
import { route } from "./router.ts";
import { modelView, neuronView } from "../fixtures/views.fixture.ts";

const names = ["alpha", "beta", "gamma", "delta"];

function fleet(loads: Record<string, number> = {}, strikes: Record<string, number> = {}): NeuronView[] {
  return names.map((name) =>
    neuronView(name, [modelView("demo", { url: `http://${name}`, inFlight: loads[name] ?? 0 })], {
      strikes: strikes[name] ?? 0,
    }),
  );
}

function neuronOf(neurons: NeuronView[], affinity?: string, tried: string[] = []): string | undefined {
  const decision = route(neurons, "demo", new Set(tried), affinity);
  return decision.kind === "send" ? decision.neuron : undefined;
}

const keys = Array.from({ length: 4000 }, (_, i) => `session-${i}`);
const home = new Map(keys.map((key) => [key, neuronOf(fleet(), key)!]));

test("conversations spread evenly, and one stays where it is", () => {
  for (const name of names) {
    const share = keys.filter((key) => home.get(key) === name).length;
    expect(share).toBeGreaterThan(850);
    expect(share).toBeLessThan(1150);
  }
  for (const key of keys.slice(0, 50)) expect(neuronOf(fleet(), key)).toBe(home.get(key));
});

test("a neuron that goes moves only its own conversations, and they spread", () => {
  const left = fleet().filter(({ name }) => name !== "beta");
  const moved = keys.filter((key) => neuronOf(left, key) !== home.get(key));
  expect(moved).toEqual(keys.filter((key) => home.get(key) === "beta"));
  expect(new Set(moved.map((key) => neuronOf(left, key))).size).toBe(3);
});

test("it waits behind two requests more than elsewhere, not behind three", () => {
  const [key, name] = [...home][0]!;
  const others = Object.fromEntries(names.map((n) => [n, n === name ? 3 : 1]));
  expect(neuronOf(fleet(others), key)).toBe(name);
  expect(neuronOf(fleet({ ...others, [name]: 4 }), key)).not.toBe(name);
});

test("a neuron in doubt, and one that has failed this request, are no home", () => {
  const [key, name] = [...home][0]!;
  expect(neuronOf(fleet({}, { [name]: 1 }), key)).not.toBe(name);
  expect(neuronOf(fleet(), key, [name])).not.toBe(name);
});

test("without a key the least loaded wins", () => {
  expect(neuronOf(fleet({ alpha: 1, beta: 1, delta: 1 }))).toBe("gamma");
  expect(route([], "demo", new Set(), "x")).toEqual({ kind: "no_neuron" });
});
