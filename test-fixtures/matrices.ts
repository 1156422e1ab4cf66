// A device as a card that multiplies matrices, with its matrices emulated in workgroup memory (shaders/matrix/*emulated): all
// indexing, scaling and rounding of the kernels around them is run, on adapters that multiply none. One that multiplies
// matrices of the shape itself does so.
import type { Gpu } from "../engine/gpu/adapter.ts";
import type { Pass } from "../engine/gpu/pass.ts";
import { Tuning } from "../engine/gpu/tuning.ts";
import { matrixShapes } from "../engine/ops/cards.ts";
import { asCard } from "./dense.ts";

/** Of devices whose matrices are their own. */
const native = new WeakSet<Tuning>();

/** The device as a card that multiplies matrices of this shape, f16 in and f32 out, and takes the way of this name. */
export function withMatrices(device: Gpu, shape: string, way = `matrices ${shape}`): Gpu {
  const [M, N, K] = shape.split("x").map(Number) as [number, number, number];
  const card = asCard(device);
  const tuning = Tuning.only(way);
  if (matrixShapes({ ...device, tuning }).some((own) => own.shape === shape)) {
    native.add(tuning);
    return { ...card, tuning };
  }
  const subgroupMatrixConfigs = [{ componentType: "f16", resultComponentType: "f32", M, N, K }];
  return {
    ...card,
    has: { ...card.has, subgroupMatrix: true, f16: true },
    report: { ...card.report, subgroupMatrixConfigs },
    tuning,
  };
}

const emulated: Readonly<Record<string, readonly string[]>> = {
  "halves/native": ["halves/nearest", "halves/emulated"],
  "matrix/units": ["halves/nearest", "matrix/emulated"],
  "matrix/stored": ["matrix/stored_emulated"],
  "tiles/matrices_128": ["tiles/matrices_128_emulated"],
};

/** A pass whose kernels find no matrices on a device that has none; notes the kernels in `used`. */
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
      const parts = options.parts?.flatMap((part) => (native.has(gpu.tuning) ? part : (emulated[part] ?? part)));
      pass.dispatch(kernel, bindings, { ...options, ...(parts ? { parts: [...new Set(parts)] } : {}) });
    },
  };
}
