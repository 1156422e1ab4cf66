// What rounding the delta rule's operands to f16 costs, where prompts make it hard: why delta_scan_matrix splits what it splits
// and no more. Errors are relative, of the output and of the state in the end.
import { expect, test } from "vitest";
import { asKernels, otherRoundings, roundedRule, type Rounding } from "../../test-fixtures/delta-rounding.ts";
import { normals } from "../../test-fixtures/delta.ts";
import { relative } from "../../test-fixtures/dense.ts";
import { recurrentRule, type DeltaHead } from "../reference/delta.ts";

const [Dk, Dv] = [32, 12];
const normal = normals(5);
const drawn = (width: number) => Float64Array.from({ length: width }, normal);
const common = drawn(Dk);
const few = Array.from({ length: 5 }, () => drawn(Dk));

interface Prompt {
  name: string;
  T: number;
  key: (t: number) => Float64Array;
  /** The share that is written, and the logarithm of what is kept. */
  beta: (t: number) => number;
  g: (t: number) => number;
  /** Keys much like earlier ones. */
  again?: true;
}

const prompts: Prompt[] = [
  { name: "unrelated keys", T: 700, key: () => drawn(Dk), beta: (t) => (t % 8) / 8, g: () => -1e-3 },
  {
    name: "correlated keys, long kept",
    T: 700,
    key: () => common.map((x) => x + 0.5 * normal()),
    beta: (t) => 0.5 + (t % 4) / 8,
    g: () => -1e-5,
    again: true,
  },
  {
    name: "five keys again and again",
    T: 700,
    key: (t) => few[t % 5]!,
    beta: () => 1,
    g: () => 0,
    again: true,
  },
  {
    name: "little written, all kept",
    T: 700,
    key: () => common.map((x) => x + 0.5 * normal()),
    beta: () => 0.01,
    g: () => 0,
  },
  {
    name: "all forgotten now and then",
    T: 300,
    key: () => drawn(Dk),
    beta: (t) => (t % 2 === 0 ? 0.99 : 0.01),
    g: (t) => (t % 45 === 44 ? -50 : -1e-4),
  },
];

function headOf({ T, key, beta, g }: Prompt): DeltaHead {
  const each = <X>(make: (t: number) => X) => Array.from({ length: T }, (_, t) => make(t));
  const unit = (x: Float64Array) => x.map((value) => value / Math.hypot(...x));
  return {
    k: each((t) => unit(key(t))),
    q: each((t) => unit(key(t)).map((x) => x / Math.sqrt(Dk))),
    v: each(() => drawn(Dv)),
    beta: each(beta),
    g: each(g),
  };
}

function result(head: DeltaHead, rule: ReturnType<typeof roundedRule>) {
  const S = new Float64Array(Dk * Dv);
  const o = rule(head, S);
  return { o: Float32Array.from(o.flatMap((row) => [...row])), S: Float32Array.from(S) };
}

test.each(prompts)("$name", (prompt) => {
  const head = headOf(prompt);
  const exact = result(head, recurrentRule);
  const errors = (rounding: Rounding) => {
    const { o, S } = result(head, roundedRule(rounding));
    return { o: relative(o, exact.o), S: relative(S, exact.S) };
  };
  const chunked = errors(otherRoundings.none);
  expect(Math.max(chunked.o, chunked.S), "chunks alone").toBeLessThan(1e-6);
  const kernels = errors(asKernels);
  expect(Math.max(kernels.o, kernels.S)).toBeLessThan(1e-3);
  // Most of it is that of the keys and queries themselves, which are rounded once, for all products.
  const halves = errors(otherRoundings["all in two halves but keys and queries"]);
  expect(kernels.o).toBeLessThan(3 * halves.o);
  expect(kernels.S).toBeLessThan(4 * halves.S);
  const coarse = errors(otherRoundings["in bf16"]);
  expect(coarse.o).toBeGreaterThan(5 * kernels.o);
  expect(coarse.S).toBeGreaterThan(5 * kernels.S);
  // Of keys that come again U is large and cancels.
  const whole = errors(otherRoundings["U in one half"]);
  if (prompt.again) expect(whole.o).toBeGreaterThan(1.3 * kernels.o);
});
