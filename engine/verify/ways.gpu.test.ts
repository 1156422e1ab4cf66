// Every way that this adapter has of computing something. With WAYS=all every fixture, stored and in q8_0, and all ways that
// a card would have; with WAYS=NAME one of them. That compiles for many minutes on a software adapter.
import { basename } from "node:path";
import { expect, test } from "vitest";
import { asCard } from "../../test-fixtures/dense.ts";
import { referenceFolders } from "../../test-fixtures/golden.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { VerifyOptions } from "./verify.ts";
import { verifyEveryWay } from "./ways.ts";

const asked = process.env["WAYS"];
const gpu = await testGpu(asked === undefined);

/** The ways that there were, by kernel; none of them disagrees. */
async function expectAll(on: Gpu, folder: string, options: VerifyOptions): Promise<Map<string, string[]>> {
  const seen = new Map<string, string[]>();
  for await (const { ways, mode, reports } of verifyEveryWay(on, folder, options)) {
    const said = JSON.stringify(ways);
    for (const [kernel, way] of Object.entries(ways)) seen.set(kernel, [...(seen.get(kernel) ?? []), way]);
    for await (const { name, cuts } of reports)
      for (const { cut, failures } of cuts) expect(failures, `${name}, ${cut}, ${mode}, ${said}`).toEqual([]);
  }
  return seen;
}

const folders = referenceFolders();

test.skipIf(asked !== undefined)("in q8_0", { timeout: 240_000 }, async () => {
  const folder = folders.find((path) => basename(path) === "qwen3_5-tiny-text")!;
  const options = {
    mode: "bf16",
    quant: "q8_0",
    cases: ["text_7"],
    cuts: ["whole", "token by token"],
  } as const;
  const seen = await expectAll(gpu, folder, options);
  expect(seen.get("matmul q8_0")).toEqual(["bytes"]);
});

const wanted = folders.filter((path) => asked === "all" || basename(path) === asked);
test.each(
  wanted.flatMap((path) => [undefined, "q8_0"].map((quant) => [basename(path), quant, path] as const)),
)("as a card, %s, %s", { timeout: 7_200_000 }, async (_, quant, path) => {
  const options = quant === undefined ? { mode: "f32" as const } : { mode: "bf16" as const, quant };
  const seen = await expectAll(asCard(gpu), path, { ...options, cases: [] });
  expect([...seen.values()].flat().length).toBeGreaterThan(8);
});
