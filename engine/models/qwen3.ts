// Qwen3: grouped-query attention with a norm on every query and key head, SwiGLU.
import { attention, decoder } from "./blocks.ts";
import type { ModelConfig } from "./config.ts";
import type { Loader } from "./loader.ts";
import type { Network } from "./network.ts";

export function qwen3(load: Loader, c: ModelConfig): Promise<Network> {
  return decoder(load, c, (from, at) => attention(from, c, at));
}
