import type * as Webgpu from "webgpu";
import { EngineError } from "../errors.ts";
import { calmDawn } from "./polls.ts";

// Dawn's validation stays on: walking a recorded plan costs the same without it (the check is made where a bind group
// or pass is built), and a wrong binding is a message instead of a lost device.
const enabled = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"]; // subgroup matrices; f16 on NVIDIA's Vulkan
const disabled = "disable-dawn-features=timestamp_quantization"; // else timestamps come in steps of 65 µs

/**
 * Off: what Dawn adds to every shader in case that it is wrong. An index that is held to its array hides from a card's
 * compiler that eight neighbours are one load. Not off is the clearing of workgroup memory: kernels rely on its zeros.
 */
const withoutChecks = ["disable_robustness", "disable_polyfills_on_integer_div_and_mod"];

/** Dawn needs its instance for as long as anything made from it lives, and cannot tell when that ends. */
const kept: GPU[] = [];

/** A Dawn instance of this thread and the adapter it gives. `flags` are dawn.node's: `backend=…`, `adapter=…`. */
export async function askDawn(
  flags: readonly string[],
  shaderChecks = true,
): Promise<{ instance: GPU; adapter: GPUAdapter | null }> {
  const { create } = await load();
  const features = [...enabled, ...(shaderChecks ? [] : withoutChecks)].join(",");
  const instance = create([`enable-dawn-features=${features}`, disabled, ...flags]);
  const adapter = await instance.requestAdapter({ powerPreference: "high-performance" });
  if (adapter) kept.push(instance); // one that only listed what there is would cost 1.6 MiB and a file for ever
  return { instance, adapter };
}

let loaded: Promise<typeof Webgpu> | undefined;

/** Loaded when first needed: where Dawn has no build for the machine, the doctor must still be able to say so. */
function load(): Promise<typeof Webgpu> {
  if (!loaded) calmDawn();
  loaded ??= import("webgpu").then(publish, refuse);
  return loaded;
}

/** GPUBufferUsage, GPUMapMode and their kin become global, as in a browser. */
function publish(webgpu: typeof Webgpu): typeof Webgpu {
  for (const [name, value] of Object.entries(webgpu.globals))
    if (name.startsWith("GPU")) Object.assign(globalThis, { [name]: value });
  quietWayland();
  return webgpu;
}

function refuse(error: Error): never {
  const machine = `${process.platform}-${process.arch}`;
  throw new EngineError(
    "no_adapter",
    `Dawn does not run on this machine (${machine}): ${error.message}`,
    {},
    { cause: error },
  );
}

/** Mesa's device-selection layer looks for a Wayland socket, and complains on stderr where this variable is unset. */
function quietWayland(): void {
  if (process.platform === "linux") process.env["XDG_RUNTIME_DIR"] ??= "/nonexistent";
}
