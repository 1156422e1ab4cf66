import { askDawn } from "./instance.ts";

/** An adapter that Dawn accepts, by the name its driver gives. */
export interface AdapterEntry {
  name: string;
  backend: string;
  kind: "hardware" | "software";
  /** Its driver and version, where they were asked for. */
  driver?: string;
  /** The PCI address of the card, where its name is not enough to open it (twins.ts). */
  card?: string;
}

/** The adapters that Dawn accepts with the drivers now visible to the process: hardware first. */
export async function listAdapters(): Promise<AdapterEntry[]> {
  try {
    // Dawn has no call to list adapters, but refusing an impossible name it says which there are.
    await askDawn(["adapter=\u0001"]);
    return [];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (!message.includes("Available adapters")) throw error;
    return order(parseAdapterList(message));
  }
}

/** The entries with their drivers' names, each asked in turn. */
export async function withDrivers(entries: readonly AdapterEntry[]): Promise<AdapterEntry[]> {
  const described: AdapterEntry[] = [];
  for (const entry of entries) {
    const { adapter } = await askDawn(adapterFlags(entry));
    described.push({ ...entry, driver: adapter?.info.description ?? "" });
  }
  return described;
}

/** What dawn.node must be told to give this adapter. */
export function adapterFlags({ backend, name }: AdapterEntry): string[] {
  return [`backend=${backend}`, `adapter=${name}`];
}

/** Reads the lines ` * backend: 'vulkan', name: 'llvmpipe (LLVM 15.0.6, 256 bits)'` of Dawn's message. */
export function parseAdapterList(message: string): AdapterEntry[] {
  return [...message.matchAll(/^ \* backend: '([^']*)', name: '(.*)'$/gm)].map(([, backend, name]) => ({
    name: name!,
    backend: backend!,
    kind: isSoftware(name!) ? "software" : "hardware",
  }));
}

export function isLavapipe(name: string): boolean {
  return /llvmpipe|lavapipe/i.test(name);
}

export function isSwiftshader(name: string): boolean {
  return /swiftshader/i.test(name);
}

function isSoftware(name: string): boolean {
  return isLavapipe(name) || isSwiftshader(name) || /basic render|software rasterizer/i.test(name);
}

/** Hardware in Dawn's order, then the software adapters, the faster one first. */
export function order(entries: readonly AdapterEntry[]): AdapterEntry[] {
  const rank = (e: AdapterEntry) => (e.kind === "hardware" ? 0 : isSwiftshader(e.name) ? 2 : 1);
  return [...entries].sort((a, b) => rank(a) - rank(b));
}
