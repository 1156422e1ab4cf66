import { create, globals } from "webgpu";

// GPUBufferUsage, GPUMapMode and their kin become global, as in a browser.
for (const [name, value] of Object.entries(globals))
  if (name.startsWith("GPU")) Object.assign(globalThis, { [name]: value });

// Dawn's validation stays on: walking a recorded plan costs the same without it (the check is made where a bind group
// or pass is built), and a wrong binding is a message instead of a lost device. So does robustness: where the driver
// offers robust buffer access, Dawn leaves the bounds check to the hardware.
const toggles = [
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia", // subgroup matrices; f16 on NVIDIA's Vulkan
  "disable-dawn-features=timestamp_quantization", // else timestamps come in steps of 65 µs
];

/** Dawn needs its instance for as long as anything made from it lives, and cannot tell when that ends. */
const kept: GPU[] = [];

/** A Dawn instance of this thread. `flags` are dawn.node's: `backend=…`, `adapter=…`. */
export function dawn(flags: readonly string[]): GPU {
  quietWayland();
  const instance = create([...toggles, ...flags]);
  kept.push(instance);
  return instance;
}

/** Mesa's device-selection layer looks for a Wayland socket, and complains on stderr where this variable is unset. */
function quietWayland(): void {
  if (process.platform === "linux") process.env["XDG_RUNTIME_DIR"] ??= "/nonexistent";
}
