// What a Linux host has of what a GPU needs: the facts behind the doctor's advice.
import { constants, existsSync } from "node:fs";
import { access, readdir, readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { usersDrivers } from "./drivers.ts";
import { ensureLoader } from "./loader.ts";
import type { Loader } from "./loader.ts";
import { findSwiftshader } from "./software.ts";

export interface HostFacts {
  /** e.g. "linux-x64". */
  machine: string;
  loader: Loader;
  /** The driver files that the Vulkan loader finds, e.g. /usr/share/vulkan/icd.d/radeon_icd.json. */
  driverFiles: string[];
  /** VK_DRIVER_FILES or VK_ICD_FILENAMES, where the user has set it. */
  driversSetTo: string | undefined;
  gpus: PciGpu[];
  /** /dev/dri/renderD128 and so on. */
  renderNodes: { path: string; accessible: boolean }[];
  swiftshader: { version: string; folder: string; unpacked: boolean } | undefined;
}

/** A display controller on the PCI bus. */
export interface PciGpu {
  address: string;
  /** "nvidia", "amd", "intel", else the vendor's number: "0x1af4". */
  vendor: string;
  /** The vendor's number for it: "0x2335". */
  model: string;
  /** The kernel's driver that has it. */
  driver: string | undefined;
}

const vendors: Record<string, string> = { "0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel" };
const driverFolders = ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/** Reads them from /sys, /dev and /usr/share below `root`. Empty lists where there is no such thing. */
export async function hostFacts(root = "/"): Promise<HostFacts> {
  const swiftshader = findSwiftshader();
  return {
    machine: `${process.platform}-${process.arch}`,
    loader: ensureLoader(),
    driverFiles: (await Promise.all(driverFolders.map((f) => files(join(root, f), /\.json$/)))).flat(),
    driversSetTo: usersDrivers,
    gpus: await pciGpus(join(root, "sys/bus/pci/devices")),
    renderNodes: await renderNodes(join(root, "dev/dri")),
    swiftshader: swiftshader && {
      version: swiftshader.version,
      folder: swiftshader.folder,
      unpacked: existsSync(swiftshader.folder),
    },
  };
}

/** Those that /sys tells of. */
export async function pciGpus(folder = "/sys/bus/pci/devices"): Promise<PciGpu[]> {
  const all = await Promise.all(
    (await files(folder, /./)).map(async (device) => ({
      kind: await text(join(device, "class")),
      address: basename(device),
      vendor: await text(join(device, "vendor")),
      model: await text(join(device, "device")),
      driver: await readlink(join(device, "driver")).catch(() => undefined),
    })),
  );
  return all
    .filter(({ kind }) => kind.startsWith("0x03"))
    .map(({ address, vendor, model, driver }) => ({
      ...{ address, model },
      vendor: vendors[vendor] ?? vendor,
      driver: driver && basename(driver),
    }));
}

function renderNodes(folder: string): Promise<HostFacts["renderNodes"]> {
  const check = async (path: string) => ({
    path,
    accessible: await access(path, constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    ),
  });
  return files(folder, /^renderD\d+$/).then((paths) => Promise.all(paths.map(check)));
}

async function files(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder, name));
}

async function text(file: string): Promise<string> {
  return (await readFile(file, "utf8").catch(() => "")).trim();
}
