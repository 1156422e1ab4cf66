// A mixture of experts in place of an MLP: a router gives each token a few of many small MLPs, and, where the family has
// it, one that all tokens share, behind a gate.
import * as op from "../ops/index.ts";
import type { Pass } from "../gpu/pass.ts";
import type { Tensor, Weight } from "../gpu/tensor.ts";
import { keptName, normOf } from "./layer.ts";
import type { ExpertsConfig, ModelConfig } from "./config.ts";
import type { Loader, Rows } from "./loader.ts";
import type { Block } from "./network.ts";

/** x + Σ share · expert(norm(x)) (+ sigmoid(gate(norm(x))) · shared(norm(x))) */
export async function expertsMlp(load: Loader, c: ModelConfig, m: ExpertsConfig, at: string): Promise<Block> {
  const norm = await load.vector(`${at}post_attention_layernorm.weight`, [c.hidden]);
  const router = await load.matrix([{ name: `${at}mlp.gate.weight`, rows: m.experts }], c.hidden);
  const whole = true; // for each shard the kernel goes through all rows of an expert
  const up = await load.interleavedPairs(gatesAndUps(load, c, m, `${at}mlp.experts.`), c.hidden, { whole });
  const down = await load.matrix(downs(load, c, m, `${at}mlp.experts.`), m.intermediate, { whole });
  const shared = m.shared ? await sharedExpert(load, c, m.shared, `${at}mlp.`) : undefined;
  return (pass, x) => {
    const u = op.rmsNorm(pass, x, norm, normOf(c));
    const routing = op.routeExperts(pass, op.linear(pass, u, router), m);
    pass.keep(`${keptName(at)}.moe.topk_weights`, routing.shares);
    const parts = op.experts(pass, u, up, down, routing, m);
    // Of devices that share the experts, the first one's part carries x (backToStream).
    return pass.sum(op.mixExperts(pass, pass.rank === 0 ? x : undefined, parts, routing, shared?.(pass, u)));
  };
}

async function sharedExpert(
  load: Loader,
  c: ModelConfig,
  width: number,
  at: string,
): Promise<(pass: Pass, u: Tensor) => { gate: Tensor; everyone: Tensor }> {
  const own = `${at}shared_expert.`;
  const rows = (name: string) => ({ name: `${own}${name}.weight`, rows: width });
  const up: Weight = await load.interleaved(rows("gate_proj"), rows("up_proj"), c.hidden);
  const down = await load.matrix([{ name: `${own}down_proj.weight`, rows: c.hidden }], width);
  const gate = await load.matrix([{ name: `${at}shared_expert_gate.weight`, rows: 1 }], c.hidden);
  return (pass, u) => ({
    gate: op.linear(pass, u, gate),
    everyone: op.linear(pass, op.swiglu(pass, u, up), down),
  });
}

/** An expert's gate and up, whichever way the checkpoint has them: in one tensor for all, in two, or in two for each. */
function gatesAndUps(load: Loader, c: ModelConfig, m: ExpertsConfig, at: string): [Rows, Rows][] {
  const { experts, intermediate: rows } = m;
  const fused = `${at}gate_up_proj`;
  const stacked = `${at}gate_proj.weight`;
  return Array.from({ length: experts }, (_, e) => {
    if (load.checkpoint.has(fused)) {
      const shape = [experts, 2 * rows, c.hidden];
      const part = (first: number) => ({ name: fused, rows, first, shape });
      return [part(2 * e * rows), part((2 * e + 1) * rows)];
    }
    const name = (part: string) =>
      load.checkpoint.has(stacked) ? `${at}${part}.weight` : `${at}${e}.${part}.weight`;
    const whole = load.checkpoint.has(stacked) ? { first: e * rows, shape: [experts, rows, c.hidden] } : {};
    return [
      { name: name("gate_proj"), rows, ...whole },
      { name: name("up_proj"), rows, ...whole },
    ];
  });
}

/** The same of what leads back. */
function downs(load: Loader, { hidden }: ModelConfig, m: ExpertsConfig, at: string): Rows[] {
  const whole = [`${at}down_proj`, `${at}down_proj.weight`].find((name) => load.checkpoint.has(name));
  if (whole) {
    return [{ name: whole, rows: m.experts * hidden, shape: [m.experts, hidden, m.intermediate] }];
  }
  return Array.from({ length: m.experts }, (_, e) => ({ name: `${at}${e}.down_proj.weight`, rows: hidden }));
}
