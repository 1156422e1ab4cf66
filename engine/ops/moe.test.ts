// Every kernel of mixtures × weight format × device compiles and binds on the null backend, in the dispatches it should take.
import { afterAll, beforeAll, expect, test } from "vitest";
import { heldTo, oneWidth, varying } from "../../test-fixtures/dense.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import type { Subgroups } from "../gpu/subgroups.ts";
import { isBlockFormat, permanent, weightFormats } from "../gpu/tensor.ts";
import { createWeight } from "../gpu/weight.ts";
import { experts, mixExperts, routeExperts } from "./moe.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});
afterAll(() => gpu.destroy());

function guise(name: string, kind: "hardware" | "software", subgroupSize: Subgroups): Gpu {
  return {
    ...gpu,
    has: { ...gpu.has, subgroups: true },
    subgroupSize,
    report: { ...gpu.report, kind, name },
  };
}

test.each([
  ["llvmpipe", "software", oneWidth(8)],
  ["SwiftShader", "software", oneWidth(4)],
  ["a card with subgroups of 32", "hardware", oneWidth(32)],
  ["a card whose subgroups vary", "hardware", varying],
  ["a card whose kernels are held to 16", "hardware", heldTo(16)],
] as const)("%s", async (name, kind, lanes) => {
  const on = guise(name, kind, lanes);
  for (const format of weightFormats) {
    const [K, I] = isBlockFormat(format) ? [512, 256] : [kind === "software" ? 72 : 70, 24];
    for (const T of [1, 9]) {
      const settings = { experts: 6, used: 3, normalised: T === 1 };
      const pass = new Recording(on, { capacity: T, step: permanent(on, "step", [4], undefined, "u32") });
      const x = permanent(on, "x", [T, K]);
      const up = createWeight(on, "up", [6 * 2 * I, K], format);
      const down = createWeight(on, "down", [6 * K, I], format);
      const routing = routeExperts(pass, permanent(on, "logits", [T, 6]), settings);
      const parts = experts(pass, x, up, down, routing, settings);
      const gate = permanent(on, "gate", [T, 1]);
      const plan = await pass.finish([mixExperts(pass, x, parts, routing, { gate, everyone: x })]);
      const many = ["moe_route", "moe_group", "moe_matvec", "moe_matvec", "moe_mix"];
      expect(plan.kernels).toEqual(T === 1 ? many.filter((name) => name !== "moe_group") : many);
    }
  }
});
