import { expect, test } from "vitest";
import { openGpu } from "./adapter.ts";

test("the null backend opens", async () => {
  const gpu = await openGpu({ backend: "null" });
  expect(gpu.report.backend).toBe("null");
  gpu.destroy();
  expect((await gpu.lost).reason).toBe("destroyed");
});
