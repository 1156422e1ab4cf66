// The tower of the released shape compiles and binds on the null backend, in every weight format.
import { afterAll, beforeAll, expect, test } from "vitest";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { Recording } from "../gpu/recording.ts";
import { permanent, type WeightFormat } from "../gpu/tensor.ts";
import { createWeight } from "../gpu/weight.ts";
import { linear } from "./linear.ts";
import { addPositions, layerNorm, placePictures, visionAttention, visionRope } from "./vision.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ backend: "null" });
});
afterAll(() => gpu.destroy());

test.each([
  ["bf16", 1152, 16, 4304],
  ["f16", 1024, 16, 4096],
  ["f32", 128, 2, 256],
] as const)("%s, %i wide, %i heads", async (format: WeightFormat, C, heads, I) => {
  const capacity = 36;
  const step = permanent(gpu, "step", [4], new Uint32Array([capacity, 0, 0, 0]));
  const pass = new Recording(gpu, { capacity, step });
  const tensor = (...shape: number[]) => permanent(gpu, "given", shape);
  const whole = (...shape: number[]) => permanent(gpu, "given", shape, undefined, "u32");
  const matrix = (N: number, K: number) => createWeight(gpu, "W", [N, K], format);
  const headDim = C / heads;
  const places = {
    corners: whole(capacity, 4),
    cornerWeights: tensor(capacity, 4),
    places: whole(capacity, 2),
    table: tensor(9, headDim / 4, 2),
  };
  let x = linear(pass, tensor(capacity, 1536), matrix(C, 1536), { bias: tensor(C) });
  x = layerNorm(pass, addPositions(pass, x, tensor(25, C), places), tensor(2 * C), 1e-6);
  const qkv = visionRope(
    pass,
    linear(pass, x, matrix(3 * C, C), { bias: tensor(3 * C) }),
    { heads, headDim },
    places,
  );
  x = linear(pass, visionAttention(pass, qkv, { heads, headDim }), matrix(C, C), { bias: tensor(C), add: x });
  const u = linear(pass, x, matrix(I, C), { bias: tensor(I), activation: "gelu_tanh" });
  x = linear(pass, u, matrix(C, I), { bias: tensor(C), activation: "gelu_erf" });
  x = placePictures(pass, x, tensor(capacity, C), whole(capacity));
  const { kernels } = await pass.finish([x]);
  const own = kernels.filter((name) => name.startsWith("vision_"));
  expect(own).toEqual(["vision_positions", "vision_norm", "vision_rope", "vision_attention", "vision_rows"]);
});

test("attention over a large picture goes in parts that no driver's watchdog minds", async () => {
  const capacity = 65_536; // 16 megapixels
  const step = permanent(gpu, "step", [4], new Uint32Array([capacity, 0, 0, 0]));
  const dispatched: { rows: number; flops: number; columns: number }[] = [];
  const pass = new Recording(
    { ...gpu, limits: { ...gpu.limits, maxStorageBufferBindingSize: 2 ** 31 } },
    { capacity, step },
  );
  const spy = Object.assign(Object.create(pass) as Recording, {
    capacity,
    scratch: pass.scratch.bind(pass),
    dispatch: (
      _: string,
      __: unknown,
      { groups, flops }: { groups: unknown[]; flops: (tokens: number) => number },
    ) => {
      const [x] = groups as [(tokens: number) => number];
      dispatched.push({ rows: x(capacity) * 32, flops: flops(capacity), columns: x(100) });
    },
  });
  const qkv = {
    shape: [capacity, 3 * 1152],
    format: "f32" as const,
    storage: { label: "", bytes: 0, buffer: undefined },
  };
  visionAttention(spy, qkv, { heads: 16, headDim: 72 });
  expect(dispatched.length).toBeGreaterThan(10);
  expect(dispatched.reduce((sum, { rows }) => sum + rows, 0)).toBe(capacity);
  for (const { flops } of dispatched) expect(flops).toBeLessThanOrEqual(1e11);
  expect(dispatched.map(({ columns }) => columns)).toEqual([4, ...dispatched.slice(1).map(() => 0)]); // a small one: no work
});
