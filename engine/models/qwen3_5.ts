// Qwen3.5: a hybrid. Most layers are gated delta nets, whose memory has a fixed size; every few layers one of gated
// full attention with partial rotary positions. Norm weights are stored minus one.
import * as op from "../ops/index.ts";
import { attention, backToStream, decoder } from "./blocks.ts";
import type { ModelConfig } from "./config.ts";
import { keptName, normOf } from "./layer.ts";
import type { Loader } from "./loader.ts";
import type { Block, Network } from "./network.ts";

export function qwen3_5(load: Loader, c: ModelConfig): Promise<Network> {
  return decoder(load, c, (from, at, layer) =>
    c.layerTypes[layer] === "full_attention" ? attention(from, c, at) : deltaNet(from, c, at),
  );
}

/** Gated delta net. Each head keeps a matrix S:   S ← g·S;   S ← S + β(v − Sᵀk)kᵀ;   o = Sᵀq */
async function deltaNet(load: Loader, c: ModelConfig, at: string): Promise<Block> {
  const delta = c.delta!;
  const { keyHeads, valueHeads, keyDim, valueDim } = delta;
  const channels = 2 * keyHeads * keyDim + valueHeads * valueDim;
  const own = `${at}linear_attn.`;
  const norm = await load.vector(`${at}input_layernorm.weight`, [c.hidden]);
  const Win = await load.matrix(
    [
      { name: `${own}in_proj_qkv.weight`, rows: channels },
      { name: `${own}in_proj_z.weight`, rows: valueHeads * valueDim },
      { name: `${own}in_proj_b.weight`, rows: valueHeads },
      { name: `${own}in_proj_a.weight`, rows: valueHeads },
    ],
    c.hidden,
  );
  const weights = {
    convWeight: await load.vector(`${own}conv1d.weight`, [channels, 1, delta.conv], [channels, delta.conv]),
    A_log: await load.vector(`${own}A_log`, [valueHeads]),
    dt_bias: await load.vector(`${own}dt_bias`, [valueHeads]),
    norm: await load.vector(`${own}norm.weight`, [valueDim]),
    eps: c.eps,
  };
  const Wout = await load.matrix([{ name: `${own}out_proj.weight`, rows: c.hidden }], valueHeads * valueDim);

  return (pass, x, memory) => {
    if (memory.kind !== "delta") throw new Error("a delta-net layer was given an attention cache");
    const u = op.normLinear(pass, x, norm, normOf(c), Win);
    const mixed = op.deltaRule(pass, u, weights, delta, memory.state);
    pass.keep(`${keptName(at)}.gdn.out_proj_in`, mixed);
    return backToStream(pass, mixed, Wout, x);
  };
}
