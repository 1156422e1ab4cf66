// Delta rules with one mistake each: what the tests of the delta net must be able to see.
import type { DeltaHead } from "../engine/reference/delta.ts";

export const mistakes = [
  "its state lost at a chunk's border",
  "its delta taken against the undecayed state",
  "its output read before the update",
  "its queries unscaled",
] as const;

export type Mistake = (typeof mistakes)[number];

/** The rule token by token, with `mistake`; with none it is the reference's. */
export function mistakenRule(mistake?: Mistake): (head: DeltaHead, S: Float64Array) => Float64Array[] {
  return (head, S) => head.q.map((_, t) => step(head, t, S, mistake));
}

function step({ q, k, v, beta, g }: DeltaHead, t: number, S: Float64Array, mistake?: Mistake): Float64Array {
  const Dv = v[t]!.length;
  const against = (x: Float64Array) =>
    Float64Array.from({ length: Dv }, (_, j) => x.reduce((sum, value, i) => sum + value * S[i * Dv + j]!, 0));
  if (mistake === "its state lost at a chunk's border" && t % 32 === 0) S.fill(0);
  const undecayed = against(k[t]!);
  for (let i = 0; i < S.length; i++) S[i]! *= Math.exp(g[t]!);
  const recalled = mistake === "its delta taken against the undecayed state" ? undecayed : against(k[t]!);
  const early = against(q[t]!);
  k[t]!.forEach((key, i) =>
    v[t]!.forEach((value, j) => (S[i * Dv + j]! += key * beta[t]! * (value - recalled[j]!))),
  );
  if (mistake === "its output read before the update") return early;
  const scale = mistake === "its queries unscaled" ? Math.sqrt(q[t]!.length) : 1;
  return against(q[t]!).map((x) => x * scale);
}
