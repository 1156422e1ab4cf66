// A reference's case on disk: test-fixtures/README.md describes the layout.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { EngineError } from "../errors.ts";
import { openSafetensors } from "../formats/safetensors.ts";

const Ids = v.array(v.pipe(v.number(), v.integer(), v.minValue(0)));

const Case = v.looseObject({
  name: v.string(),
  input_ids: v.pipe(Ids, v.nonEmpty("there are none")),
  greedy_ids: v.optional(Ids, []),
  golden: v.string(),
  images: v.optional(v.array(v.string()), []),
  image_grid_thw: v.optional(v.array(Ids), []),
});

const Inputs = v.looseObject({ cases: v.pipe(v.array(Case), v.nonEmpty("there are none")) });

const Tolerance = v.looseObject({
  f32_engine_logits_max_abs: v.number(),
  f32_greedy_gap: v.number(),
  f32_delta_state_max_abs: v.optional(v.number()),
  bf16_engine_logits_rel_rms: v.optional(v.number()),
  bf16_greedy_gap: v.optional(v.number()),
  bf16_vision_merged_rel_rms: v.optional(v.number()),
});

export type GoldenCase = v.InferOutput<typeof Case>;
export type Tolerances = v.InferOutput<typeof Tolerance>;

export interface GoldenTensor {
  shape: readonly number[];
  data: Float32Array;
}

/** inputs.json and the tolerances of meta.json. Errors: bad_checkpoint with the file and the path of the field. */
export async function readCases(folder: string): Promise<{ cases: GoldenCase[]; tolerance: Tolerances }> {
  const { cases } = await parse(Inputs, join(folder, "inputs.json"));
  const { tolerance } = await parse(v.looseObject({ tolerance: Tolerance }), join(folder, "meta.json"));
  return { cases, tolerance };
}

/** All f32 tensors of a case. */
export async function readGolden(folder: string, { golden }: GoldenCase): Promise<Map<string, GoldenTensor>> {
  const file = await openSafetensors(join(folder, golden));
  try {
    const read = new Map<string, GoldenTensor>();
    for (const entry of file.tensors.values()) {
      if (entry.dtype !== "F32") continue;
      const bytes = new Uint8Array(entry.bytes);
      await file.read(entry, 0, bytes);
      read.set(entry.name, { shape: entry.shape, data: new Float32Array(bytes.buffer) });
    }
    return read;
  } finally {
    await file.close();
  }
}

async function parse<S extends v.GenericSchema>(schema: S, path: string): Promise<v.InferOutput<S>> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    const missing = ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "");
    const text = missing
      ? "missing; a folder to verify holds a model with inputs.json, meta.json and golden/ beside it"
      : (cause as Error).message;
    throw new EngineError("bad_checkpoint", `${path}: ${text}`, {}, { cause });
  }
  const result = v.safeParse(schema, json);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new EngineError(
    "bad_checkpoint",
    `${path}: ${v.getDotPath(issue) ?? "the document"}: ${issue.message}`,
  );
}
