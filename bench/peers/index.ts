// Other engines that run the same shape in turn with ours. None is a dependency: whoever compares installs it into the
// folder below, and a synthetic GGUF file is written for those that read one.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../engine/root.ts";
import { openLlamaCpp } from "./llamaCpp.ts";

export interface Peer {
  readonly name: string;
  /** Milliseconds for so many tokens of a prompt, or so many decoded ones. */
  run(phase: "decode" | "prefill", tokens: number): Promise<number>;
  close(): Promise<void>;
}

/** Ignored by git. */
export const peerFolder = join(packageRoot, ".cache", "peers");

/** `folder`: of our checkpoint. `quant`: a block type, or the stored floats. */
export type OpenPeer = (folder: string, quant: string | undefined) => Promise<Peer>;

export const peers: Readonly<Record<string, OpenPeer>> = { "node-llama-cpp": openLlamaCpp };

/** Errors: an unknown peer, or one that is not installed, with what installs it. */
export async function openPeer(name: string, folder: string, quant: string | undefined): Promise<Peer> {
  const open = peers[name];
  if (!open) throw new Error(`no peer "${name}"; there are ${Object.keys(peers).join(", ")}`);
  return open(folder, quant);
}

/** An installed peer's module. */
export async function importPeer(name: string): Promise<unknown> {
  const manifest = join(peerFolder, "package.json");
  if (!existsSync(join(peerFolder, "node_modules", name)))
    throw new Error(`${name} is not installed: npm install --prefix ${peerFolder} ${name}`);
  const resolved = createRequire(manifest).resolve(name);
  return import(pathToFileURL(resolved).href);
}
