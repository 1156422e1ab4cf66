import type { HostFacts, PciGpu } from "./host.ts";
import { isLavapipe, isSwiftshader } from "./list.ts";
import type { AdapterEntry } from "./list.ts";
import { swiftshaderPackage } from "./software.ts";

/** What is missing on the host and how to get it. */
export interface Advice {
  /** "problem": something that is here does not work. "note": something that could be added. */
  level: "problem" | "note";
  text: string;
  remedy: string;
}

const backports =
  "on Debian 12 as root: .ci/install-lavapipe, or add bookworm-backports and run " +
  "apt-get install -t bookworm-backports mesa-vulkan-drivers libvulkan1; elsewhere Mesa 24 or later";

/** What stands between this host and its adapters, the worst first. Pure. */
export function advise(host: HostFacts, adapters: readonly AdapterEntry[]): Advice[] {
  if (!host.machine.startsWith("linux")) return adapters.length > 0 ? [] : [noDriver];
  const advice = [...loaderAdvice(host), ...gpuAdvice(host, adapters), ...softwareAdvice(host, adapters)];
  return [...advice.filter((a) => a.level === "problem"), ...advice.filter((a) => a.level === "note")];
}

const noDriver: Advice = {
  level: "problem",
  text: "no adapter answers, though this system needs no Vulkan loader",
  remedy: "install the GPU vendor's current driver (Windows: D3D12; macOS: a Mac with Metal)",
};

function loaderAdvice({ loader, gpus, driversSetTo }: HostFacts): Advice[] {
  const advice: Advice[] = [];
  if (loader === "missing" || loader === "carried")
    advice.push({
      level: loader === "carried" && gpus.length === 0 ? "note" : "problem",
      text: `the system has no Vulkan loader (libvulkan.so.1)${loader === "carried" ? "; SwiftShader's is used" : ""}`,
      remedy: "apt-get install libvulkan1, dnf install vulkan-loader or pacman -S vulkan-icd-loader",
    });
  if (driversSetTo !== undefined)
    advice.push({
      level: "note",
      text: `VK_DRIVER_FILES or VK_ICD_FILENAMES hides every driver but ${driversSetTo}`,
      remedy: "unset it to see the others",
    });
  return advice;
}

/** One piece of advice for each vendor whose GPU is on the bus but not among the adapters. */
function gpuAdvice(host: HostFacts, adapters: readonly AdapterEntry[]): Advice[] {
  const known = host.gpus.filter((g) => g.vendor in remedies);
  if (known.length === 0) return noGpuAdvice(adapters);
  const hardware = adapters.filter((a) => a.kind === "hardware");
  const silent = known.filter((gpu) => !hardware.some((a) => patterns[gpu.vendor]!.test(a.name)));
  const first = silent.filter((gpu, i) => silent.findIndex((g) => g.vendor === gpu.vendor) === i);
  return first.map((gpu) => ({
    level: "problem",
    text: `the ${gpu.vendor} GPU at ${gpu.address} (kernel driver: ${gpu.driver ?? "none"}) is not among the adapters`,
    remedy: remedies[gpu.vendor]!(host, gpu),
  }));
}

function noGpuAdvice(adapters: readonly AdapterEntry[]): Advice[] {
  if (adapters.some((a) => a.kind === "hardware")) return [];
  const remedy =
    "models run on the CPU, slowly; in a container, pass the GPU in (--gpus all with " +
    "NVIDIA_DRIVER_CAPABILITIES=all, or --device /dev/dri)";
  return [{ level: "note", text: "no GPU is on this host's PCI bus", remedy }];
}

const patterns: Record<string, RegExp> = {
  nvidia: /nvidia/i,
  amd: /amd|radeon|radv/i,
  intel: /intel/i,
};

const remedies: Record<string, (host: HostFacts, gpu: PciGpu) => string> = {
  nvidia: (host, gpu) => {
    if (gpu.driver === "nouveau") return "replace nouveau by NVIDIA's own driver, whose Vulkan Dawn accepts";
    if (gpu.driver !== "nvidia") return "install NVIDIA's driver (Debian: apt-get install nvidia-driver)";
    if (!hasDriverFile(host, /nvidia/))
      return "the driver's Vulkan part (nvidia_icd.json) is missing: in a container set NVIDIA_DRIVER_CAPABILITIES=all, else install it (Debian: nvidia-vulkan-icd)";
    return "its Vulkan driver does not answer: libGLX_nvidia.so or libEGL_nvidia.so needs libX11, libXext and libEGL (Debian: apt-get install libx11-6 libxext6 libegl1)";
  },
  amd: (host) => mesaRemedy(host, /radeon|amd/),
  intel: (host) => mesaRemedy(host, /intel/),
};

function mesaRemedy(host: HostFacts, driverFile: RegExp): string {
  const shut = host.renderNodes.find((n) => !n.accessible);
  if (!hasDriverFile(host, driverFile))
    return "install Mesa's Vulkan drivers (Debian: apt-get install mesa-vulkan-drivers)";
  if (host.renderNodes.length === 0)
    return "there is no /dev/dri/renderD*: in a container pass --device /dev/dri";
  if (shut) return `you may not open ${shut.path}: usermod -aG render $USER, then log in again`;
  return "its Mesa driver does not answer, or Dawn refuses it: update Mesa";
}

function softwareAdvice(host: HostFacts, adapters: readonly AdapterEntry[]): Advice[] {
  const advice: Advice[] = [];
  if (!adapters.some((a) => isLavapipe(a.name)))
    advice.push(
      hasDriverFile(host, /lvp_icd/)
        ? {
            level: "problem",
            text: "lavapipe is installed, but too old for Dawn or broken",
            remedy: backports,
          }
        : {
            level: "note",
            text: "lavapipe, the faster software adapter, is not installed",
            remedy: backports,
          },
    );
  if (!adapters.some((a) => isSwiftshader(a.name))) advice.push(swiftshaderAdvice(host, adapters));
  return advice;
}

function swiftshaderAdvice(host: HostFacts, adapters: readonly AdapterEntry[]): Advice {
  const level = adapters.length === 0 ? "problem" : "note";
  if (host.machine !== "linux-x64")
    return { level, text: "SwiftShader has no build for this machine", remedy: "install lavapipe instead" };
  if (!host.swiftshader)
    return {
      level,
      text: `SwiftShader (npm package ${swiftshaderPackage}) is not installed`,
      remedy: `npm install ${swiftshaderPackage}`,
    };
  return {
    level: "problem",
    text: `SwiftShader in ${host.swiftshader.folder} does not answer`,
    remedy: "delete that folder; it is unpacked anew",
  };
}

function hasDriverFile(host: HostFacts, pattern: RegExp): boolean {
  return host.driverFiles.some((file) => pattern.test(file));
}
