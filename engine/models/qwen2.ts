// Qwen2: grouped-query attention with a bias on q, k and v and none on the output, SwiGLU.
import { attention, decoder } from "./blocks.ts";
import type { ModelConfig } from "./config.ts";
import type { Loader } from "./loader.ts";
import type { Network } from "./network.ts";

export function qwen2(load: Loader, c: ModelConfig): Promise<Network> {
  return decoder(load, c, (from, at) => attention(from, c, at));
}
