import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { advise } from "./advice.ts";
import { hostFacts } from "./host.ts";
import type { HostFacts } from "./host.ts";
import type { AdapterEntry } from "./list.ts";

describe("hostFacts", () => {
  let root: string;
  beforeEach(() => (root = mkdtempSync(join(tmpdir(), "host-test-"))));
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  function put(file: string, text = ""): void {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }

  test("GPUs on the bus, render nodes and driver files", async () => {
    const pci = "sys/bus/pci/devices";
    put(`${pci}/0000:00:02.0/class`, "0x020000\n"); // a network card
    put(`${pci}/0000:01:00.0/class`, "0x030200\n");
    put(`${pci}/0000:01:00.0/vendor`, "0x10de\n");
    put(`${pci}/0000:01:00.0/device`, "0x2335\n");
    symlinkSync("../../../bus/pci/drivers/nvidia", join(root, pci, "0000:01:00.0/driver"));
    put(`${pci}/0000:65:00.0/class`, "0x038000\n");
    put(`${pci}/0000:65:00.0/vendor`, "0x1af4\n");
    put("dev/dri/card0");
    put("dev/dri/renderD128");
    put("usr/share/vulkan/icd.d/nvidia_icd.json");
    put("etc/vulkan/icd.d/README");
    expect(await hostFacts(root)).toMatchObject({
      driverFiles: [join(root, "usr/share/vulkan/icd.d/nvidia_icd.json")],
      gpus: [
        { address: "0000:01:00.0", vendor: "nvidia", model: "0x2335", driver: "nvidia" },
        { address: "0000:65:00.0", vendor: "0x1af4", driver: undefined },
      ],
      renderNodes: [{ path: join(root, "dev/dri/renderD128"), accessible: true }],
    });
  });

  test("a host with nothing", async () => {
    expect(await hostFacts(root)).toMatchObject({ driverFiles: [], gpus: [], renderNodes: [] });
  });
});

describe("advise", () => {
  const nvidia: AdapterEntry = { name: "NVIDIA GeForce RTX 4070", backend: "vulkan", kind: "hardware" };
  const lavapipe: AdapterEntry = { name: "llvmpipe (LLVM 15.0.6)", backend: "vulkan", kind: "software" };
  const swiftshader: AdapterEntry = { name: "SwiftShader Device", backend: "vulkan", kind: "software" };
  const software = [lavapipe, swiftshader];

  const plain: HostFacts = {
    machine: "linux-x64",
    loader: "system",
    driverFiles: ["/usr/share/vulkan/icd.d/lvp_icd.json"],
    driversSetTo: undefined,
    gpus: [],
    renderNodes: [],
    swiftshader: { version: "1", folder: "/cache/swiftshader-1", unpacked: true },
  };
  const card = (vendor: string, driver?: string) => [
    { address: "0000:01:00.0", vendor, model: "0x1", driver },
  ];
  const icd = (name: string) => ({
    driverFiles: [...plain.driverFiles, `/etc/vulkan/icd.d/${name}_icd.json`],
  });
  const node = (accessible: boolean) => ({ renderNodes: [{ path: "/dev/dri/renderD128", accessible }] });

  test("a host with everything is told nothing", () => {
    const gpus = card("nvidia", "nvidia");
    expect(advise({ ...plain, ...icd("nvidia"), gpus }, [nvidia, ...software])).toEqual([]);
  });

  test.each<[string, Partial<HostFacts>, AdapterEntry[], RegExp]>([
    ["no loader", { loader: "missing" }, [], /^problem: .*no Vulkan loader.* -> apt-get install libvulkan1/],
    ["a carried loader, no GPU", { loader: "carried" }, software, /^note: .*SwiftShader's is used/],
    [
      "a carried loader hides a GPU",
      { loader: "carried", gpus: card("amd") },
      software,
      /^problem: .*no Vulkan loader/,
    ],
    ["no GPU", {}, software, /^note: no GPU .*-> .*NVIDIA_DRIVER_CAPABILITIES=all/],
    [
      "nouveau",
      { gpus: card("nvidia", "nouveau") },
      software,
      /^problem: .*nvidia.*0000:01.*-> replace nouveau/,
    ],
    ["no driver", { gpus: card("nvidia") }, software, /driver: none.*-> install NVIDIA's driver/],
    [
      "no nvidia_icd",
      { gpus: card("nvidia", "nvidia") },
      software,
      /-> the driver's Vulkan part \(nvidia_icd/,
    ],
    [
      "silent nvidia",
      { gpus: card("nvidia", "nvidia"), ...icd("nvidia") },
      software,
      /-> its Vulkan driver .* libX11/,
    ],
    ["no Mesa", { gpus: card("amd", "amdgpu") }, software, /-> install Mesa's Vulkan drivers/],
    [
      "Mesa for another vendor",
      { gpus: card("intel", "xe"), ...icd("radeon") },
      software,
      /-> install Mesa's/,
    ],
    [
      "no render node",
      { gpus: card("amd", "amdgpu"), ...icd("radeon") },
      software,
      /-> there is no \/dev\/dri/,
    ],
    [
      "no permission",
      { gpus: card("intel", "i915"), ...icd("intel"), ...node(false) },
      software,
      /-> .*usermod -aG render/,
    ],
    [
      "silent Mesa",
      { gpus: card("amd", "amdgpu"), ...icd("radeon"), ...node(true) },
      software,
      /-> .*update Mesa/,
    ],
    [
      "one of two vendors is silent",
      { gpus: [...card("nvidia", "nvidia"), ...card("amd")] },
      [nvidia, ...software],
      /the amd GPU/,
    ],
    [
      "an old lavapipe",
      {},
      [swiftshader],
      /^problem: lavapipe is installed, but too old.* -> .*bookworm-backports/,
    ],
    ["no lavapipe", { driverFiles: [] }, [swiftshader], /note: lavapipe, the faster/],
    [
      "no SwiftShader",
      { swiftshader: undefined },
      [lavapipe],
      /note: SwiftShader .*-> npm install @sparticuz/,
    ],
    [
      "no software at all",
      { swiftshader: undefined, driverFiles: [] },
      [],
      /problem: SwiftShader .*-> npm install/,
    ],
    [
      "a broken SwiftShader",
      {},
      [lavapipe],
      /problem: SwiftShader in \/cache\/swiftshader-1 does not answer/,
    ],
    [
      "arm64",
      { machine: "linux-arm64", swiftshader: undefined },
      [lavapipe],
      /note: SwiftShader has no build/,
    ],
    [
      "drivers hidden",
      { driversSetTo: "/x.json" },
      software,
      /note: VK_DRIVER_FILES .* hides every driver but \/x/,
    ],
    ["macOS without Metal", { machine: "darwin-x64", loader: "builtin" }, [], /^problem: no adapter answers/],
  ])("%s", (_, facts, adapters, want) => {
    const lines = advise({ ...plain, ...facts }, adapters).map((a) => `${a.level}: ${a.text} -> ${a.remedy}`);
    expect(
      lines.filter((line) => want.test(line)),
      lines.join("\n"),
    ).toHaveLength(1);
  });

  test("problems come before notes", () => {
    const levels = advise({ ...plain, loader: "missing" }, []).map((a) => a.level);
    expect(levels).toEqual([...levels].sort().reverse());
    expect(new Set(levels).size).toBe(2);
  });
});
