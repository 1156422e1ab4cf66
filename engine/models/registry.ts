// Which file reads which model_type. Adding a family is a file and a line here (and its schema in config.ts).
import type { ModelConfig } from "./config.ts";
import { llama } from "./llama.ts";
import type { Loader } from "./loader.ts";
import type { Network } from "./network.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3_5 } from "./qwen3_5.ts";

type Build = (load: Loader, config: ModelConfig) => Promise<Network>;

/** Experts take the place of a decoder's MLPs: the file is that of the dense family. */
export const architectures: Record<ModelConfig["modelType"], Build> = {
  ...{ llama, qwen2, qwen3, qwen3_5 },
  ...{ qwen3_moe: qwen3, qwen3_5_moe: qwen3_5 },
};
