// A device as a card that multiplies matrices, with its matrices emulated in workgroup memory (shaders/matrix/*emulated): all
// indexing, scaling and rounding of the kernels around them is run, on adapters that multiply none.
import type { Gpu } from "../engine/gpu/adapter.ts";
import type { Pass } from "../engine/gpu/pass.ts";
import { Tuning } from "../engine/gpu/tuning.ts";
import { asCard } from "./dense.ts";

/** The device as a card that multiplies matrices of this shape, f16 in and f32 out, and takes the way of this name. */
export function withMatrices(device: Gpu, shape: string, way = `matrices ${shape}`): Gpu {
  const [M, N, K] = shape.split("x").map(Number) as [number, number, number];
  const card = asCard(device);
  const subgroupMatrixConfigs = [{ componentType: "f16", resultComponentType: "f32", M, N, K }];
  return {
    ...card,
    has: { ...card.has, subgroupMatrix: true, f16: true },
    report: { ...card.report, subgroupMatrixConfigs },
    tuning: Tuning.only(way),
  };
}

const emulated: Readonly<Record<string, string>> = {
  "matrix/units": "matrix/emulated",
  "matrix/stored": "matrix/stored_emulated",
};

/** A pass whose kernels find no matrices on the device; notes the kernels in `used`. */
export function emulating(pass: Pass, used: string[]): Pass {
  const { gpu, capacity, batch, step, rank } = pass;
  return {
    ...{ gpu, capacity, batch, step, rank },
    scratch: (...given) => pass.scratch(...given),
    sheet: (...given) => pass.sheet(...given),
    sum: (part) => pass.sum(part),
    send: (...given) => pass.send(...given),
    receive: (...given) => pass.receive(...given),
    keep: (name, tensor) => pass.keep(name, tensor),
    dispatch: (kernel, bindings, options) => {
      used.push(kernel);
      const parts = options.parts?.map((part) => emulated[part] ?? part);
      pass.dispatch(kernel, bindings, { ...options, ...(parts ? { parts } : {}) });
    },
  };
}
