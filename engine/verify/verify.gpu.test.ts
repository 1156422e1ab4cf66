// Whole models against the reference implementation's numbers, on this adapter. CORTEX_REFERENCE may name a folder of
// more fixtures than the ones kept here; they are all run, and in brief one that has every kind of layer.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { referenceFolders } from "../../test-fixtures/golden.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import type { EngineError } from "../errors.ts";
import { plannedModelTypes } from "../models/config.ts";
import { readCases } from "./golden.ts";
import type { VerifyOptions } from "./verify.ts";
import { verifyFolder } from "./verify.ts";

const brief = process.env["NEURON_TEST_BRIEF"] !== undefined;
const runnable = referenceFolders().filter((folder) => {
  if (brief && basename(folder) !== "qwen3_5-tiny-text") return false;
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as { model_type: string };
  return !(plannedModelTypes as readonly string[]).includes(config.model_type);
});

for (const folder of runnable) {
  const name = folder.split("/").slice(-3).join("/");
  test(`${name} agrees with the reference in every cut`, { timeout: 300_000 }, async () => {
    const { cases } = await readCases(folder);
    const seen: string[] = [];
    for await (const report of verifyFolder(await testGpu(), folder, { mode: "f32" })) {
      if (report.notRun === undefined) {
        for (const cut of report.cuts) expect(cut.failures, `${report.name}, ${cut.cut}`).toEqual([]);
        expect(report.cuts.map(({ cut }) => cut)).toEqual([
          "whole",
          "chunks",
          "token by token",
          "among others",
          "with cache",
        ]);
      }
      seen.push(report.name);
    }
    expect(seen).toEqual(cases.map((one) => one.name));
  });
}

const dense = referenceFolders().find((folder) => basename(folder) === "qwen3-tiny-tied")!;
const other = referenceFolders().find((folder) => basename(folder) === "llama3-tiny-ropescaled")!;

/** A folder to verify, with some of its files as they should not be. */
function spoiled(spoil: (folder: string) => void): string {
  const folder = mkdtempSync(join(tmpdir(), "verify-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(dense, folder, { recursive: true });
  spoil(folder);
  return folder;
}

async function refusal(folder: string, options: Partial<VerifyOptions> = {}): Promise<unknown> {
  try {
    const reports = verifyFolder(await testGpu(), folder, { mode: "f32", ...options });
    while (!(await reports.next()).done) continue;
  } catch (error) {
    return error;
  }
  throw new Error("nothing was refused");
}

test("weights of another model are refused with what differs", async () => {
  const { code, message } = (await refusal(dense, { weights: other })) as EngineError;
  expect(code).toBe("bad_request");
  expect(message).toMatch(/^.*llama3-tiny-ropescaled is another model than .*qwen3-tiny-tied: /);
  expect(message).toContain("model_type llama for qwen3");
  expect(message).toContain("num_key_value_heads 1 for 2, intermediate_size 256 for 320");
});

test.each<[string, (folder: string) => void, RegExp]>([
  [
    "a reference of another model",
    (folder) => {
      cpSync(join(other, "golden"), join(folder, "golden"), { recursive: true });
      cpSync(join(other, "inputs.json"), join(folder, "inputs.json"));
    },
    /text_9\.safetensors is not of this model: \S+ is \[[\d, ]+\] \(\d+ values\), and this model makes \d+$/,
  ],
  [
    "no case",
    (folder) => writeFileSync(join(folder, "inputs.json"), '{"cases": []}'),
    /inputs\.json: cases: there are none/,
  ],
  [
    "a case without a prompt",
    (folder) =>
      writeFileSync(
        join(folder, "inputs.json"),
        '{"cases": [{"name": "a", "input_ids": [], "golden": "g"}]}',
      ),
    /inputs\.json: cases\.0\.input_ids: there are none/,
  ],
  [
    "no goldens",
    (folder) => rmSync(join(folder, "golden"), { recursive: true }),
    /text_9\.safetensors: does not exist/,
  ],
])("%s is told, and is no bug of ours", async (_, spoil, message) => {
  expect(await refusal(spoiled(spoil))).toMatchObject({
    code: "bad_checkpoint",
    message: expect.stringMatching(message),
  });
});

test("a case that there is not is refused with those that there are", async () => {
  expect(await refusal(dense, { cases: ["text_9", "other"] })).toMatchObject({
    code: "bad_request",
    message: "no case other; there are text_9, text_150",
  });
});

test("where the reference gives no bound, nothing passes", async () => {
  const folder = spoiled((path) => {
    const meta = JSON.parse(readFileSync(join(path, "meta.json"), "utf8")) as {
      tolerance: Record<string, number>;
    };
    delete meta.tolerance["bf16_engine_logits_rel_rms"];
    writeFileSync(join(path, "meta.json"), JSON.stringify(meta));
  });
  const options = { mode: "bf16", cases: ["text_9"], cuts: ["whole"] } as const;
  const { value } = await verifyFolder(await testGpu(), folder, options).next();
  expect(value).toMatchObject({
    passed: false,
    cuts: [{ failures: ["meta.json gives no bound for relative rms of logits in bf16"] }],
  });
});

test("a file in a folder's place", async () => {
  expect(await refusal(join(dense, "config.json"))).toMatchObject({
    message: expect.stringMatching(
      /config\.json\/inputs\.json: missing; a folder to verify holds a model with/,
    ),
  });
});
