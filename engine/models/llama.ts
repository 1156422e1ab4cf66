// Llama, and Mistral's checkpoints of the same shape: grouped-query attention, SwiGLU, no norms on heads; Llama 3
// stretches the low rotary frequencies (rope.ts).
import { attention, decoder } from "./blocks.ts";
import type { ModelConfig } from "./config.ts";
import type { Loader } from "./loader.ts";
import type { Network } from "./network.ts";

export function llama(load: Loader, c: ModelConfig): Promise<Network> {
  return decoder(load, c, (from, at) => attention(from, c, at));
}
