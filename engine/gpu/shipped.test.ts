// What ships is of adapters that were measured, and names formats that there are.
import { expect, test } from "vitest";
import { shippedFor } from "./shipped.ts";
import { isBlockFormat, weightFormats, type WeightFormat } from "./tensor.ts";
import { Tuning } from "./tuning.ts";

const llvmpipe = shippedFor({ name: "llvmpipe (LLVM 15.0.6, 256 bits)", driver: "llvmpipe: Mesa 25.0.7" });

test("every key is of a format, for all shapes", () => {
  expect(Object.keys(llvmpipe)).not.toHaveLength(0);
  for (const key of Object.keys(llvmpipe)) {
    const [kernel, format, shape] = key.split(" ");
    expect(["matmul", "matvec"]).toContain(kernel);
    expect(weightFormats).toContain(format);
    expect(isBlockFormat(format as WeightFormat)).toBe(true);
    expect(shape).toBe("*");
  }
});

test("it is what ops are told where nothing was measured", () => {
  const ways = [{ name: "f32" }, { name: "bytes" }];
  const asked = (kernel: string, format: string, strict = false) =>
    new Tuning({ strict }, { shipped: llvmpipe }).choose({ kernel, format, K: 1024, N: 64, T: 1 }, ways).name;
  expect(asked("matvec", "q6_k")).toBe("bytes");
  expect(asked("matmul", "q2_k")).toBe("f32");
  expect(asked("matvec", "bf16")).toBe("f32");
  expect(asked("matvec", "q6_k", true)).toBe("f32");
});

test("other adapters get nothing", () => {
  expect(shippedFor({ name: "SwiftShader Device (Subzero)", driver: "SwiftShader driver" })).toEqual({});
  expect(shippedFor({ name: "NVIDIA H200", driver: "NVIDIA" })).toEqual({});
});
