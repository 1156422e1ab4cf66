// docs/reference/models.md: what can be loaded, from the registry and the tables of formats.

import { blockFormats, blockTypes } from "../../engine/formats/blocks/format.ts";
import { plannedModelTypes, supportedModelTypes } from "../../engine/models/config.ts";

type Known = (typeof supportedModelTypes)[number] | (typeof plannedModelTypes)[number];

/** A line for each type; a type without one does not compile. */
const about: Record<Known, [what: string, such: string]> = {
  qwen3_5: ["hybrid of gated delta nets and gated attention, with a vision tower", "Qwen3.5, 3.6 and 3.8"],
  qwen3: ["grouped-query attention with q/k norms", "Qwen3"],
  qwen2: ["grouped-query attention with q/k/v bias", "Qwen2, Qwen2.5"],
  llama: ["grouped-query attention, with Llama 3's rope scaling", "Llama 2 and 3"],
  mistral: ["Llama's, with a sliding window", "Mistral"],
  qwen3_5_moe: ["Qwen3.5's, with a mixture of experts in place of the MLP", "Qwen3.5 MoE"],
  qwen3_moe: ["Qwen3's, with a mixture of experts in place of the MLP", "Qwen3 MoE"],
  qwen3_next: ["hybrid of gated delta nets and gated attention, with a mixture of experts", "Qwen3-Next"],
};

export function modelsPage(): string {
  return [
    "# Models and formats",
    "",
    "A model is a folder with `config.json`, `tokenizer.json` and weights, or a GGUF file. What `config.json` declares as",
    "its `model_type` decides:",
    "",
    "| `model_type` | what it is | such as |",
    "|---|---|---|",
    ...supportedModelTypes.map((type) => `| \`${type}\` | ${about[type].join(" | ")} |`),
    "",
    `Anything else is refused at load, with this list. Known by name and not built yet: ${plannedModelTypes
      .map((type) => `\`${type}\``)
      .join(", ")}.`,
    "",
    "## Weights",
    "",
    "| format | kept as |",
    "|---|---|",
    "| safetensors bf16, f16, f32, in one file or shards | as stored; all arithmetic is f32 |",
    "| GGUF F32, F16, BF16 | as stored |",
    "| GGUF blocks, below | as stored, rearranged once at load |",
    "| safetensors with `--quant` | quantised at load to one of the blocks below |",
    "",
    "| block | values | bytes | bits a weight |",
    "|---|---|---|---|",
    ...blockTypes.map((type) => {
      const { values, bytes } = blockFormats[type];
      return `| ${type} | ${values} | ${bytes} | ${((8 * bytes) / values).toFixed(2)} |`;
    }),
    "",
    "With `--quant` the embedding and the head keep at least six bits, and rows that are not whole blocks take a type of 32",
    "values with as many bits. `neuron verify` holds a model against a reference's numbers on your own adapter.",
    "",
  ].join("\n");
}
