// Other engines that run the same shape in turn with ours. None is a dependency: whoever compares installs it into the
// folder below. Each runs in a process of its own (host.ts), so that neither its globals, nor its threads, nor its end
// are ours; it sees the Vulkan drivers that we chose. While it is not asked it is stopped: threads that wait for work at
// full load would otherwise run on into our turn.
import { fork, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { extname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { packageRoot } from "../../engine/root.ts";

export interface Peer {
  readonly name: string;
  /** Milliseconds for so many tokens of a prompt, or so many decoded ones. */
  run(phase: "decode" | "prefill", tokens: number): Promise<number>;
  close(): Promise<void>;
}

/** What a peer's process opens. */
export type Opening =
  /** `folder`: of our checkpoint. `quant`: a block type, or the stored floats. */
  | { what: "model"; peer: string; folder: string; quant: string | undefined }
  /** A chain of products 1024 → 3072 → 1024; its files go to `folder`. */
  | { what: "matmul"; peer: string; folder: string; format: string; pairs: number; rows: number };

/** To and from the process: a run, and its milliseconds. */
export interface Order {
  phase: "decode" | "prefill";
  tokens: number;
}
export type Answer = { name: string } | { ms: number } | { error: string };

/** Ignored by git. */
export const peerFolder = join(packageRoot, ".cache", "peers");

export const peerNames = ["node-llama-cpp", "doppler-gpu", "onnxruntime-node"] as const;

/** Errors: an unknown peer, or one that is not installed, with what installs it; whatever it says itself. */
export async function openPeer(opening: Opening): Promise<Peer> {
  const { peer } = opening;
  if (!(peerNames as readonly string[]).includes(peer))
    throw new Error(`no peer "${peer}"; there are ${peerNames.join(", ")}`);
  assertInstalled(peer);
  const host = fileURLToPath(new URL(`./host${extname(import.meta.url)}`, import.meta.url));
  const told = JSON.stringify({ ...opening, folder: resolve(opening.folder) });
  const child = fork(host, [told], {
    cwd: peerFolder, // some leave reports where they run
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const opened = await answerOf(child);
  if (!("name" in opened)) throw new Error(`${peer} answered out of turn`);
  pause(child);
  return {
    name: opened.name,
    async run(phase, tokens) {
      goOn(child);
      child.send({ phase, tokens } satisfies Order);
      const answer = await answerOf(child);
      pause(child);
      if (!("ms" in answer)) throw new Error(`${peer} answered out of turn`);
      return answer.ms;
    },
    async close() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      goOn(child);
      child.disconnect();
      await ended;
    },
  };
}

/** Windows has no such signals: there a peer's threads may still be at work when our turn begins. */
function pause(child: ChildProcess): void {
  if (process.platform !== "win32") child.kill("SIGSTOP");
}

function goOn(child: ChildProcess): void {
  if (process.platform !== "win32") child.kill("SIGCONT");
}

/** The next one. Errors: the peer's own, or its end. */
function answerOf(child: ChildProcess): Promise<Exclude<Answer, { error: string }>> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: string | null) =>
      reject(new Error(`the peer ended with ${signal ?? `status ${code}`}`));
    child.once("exit", onExit);
    child.once("message", (answer: Answer) => {
      child.off("exit", onExit);
      if ("error" in answer) reject(new Error(answer.error));
      else resolve(answer);
    });
  });
}

function assertInstalled(name: string): void {
  if (existsSync(join(peerFolder, "node_modules", name))) return;
  throw new Error(`${name} is not installed: npm install --prefix ${peerFolder} ${name}`);
}

/** An installed peer's module, or one of those that it exports (doppler-gpu/tooling). */
export async function importPeer(specifier: string): Promise<unknown> {
  const [name, ...path] = specifier.split("/") as [string, ...string[]];
  const folder = join(peerFolder, "node_modules", name);
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  const exported = manifest.exports?.[[".", ...path].join("/")];
  const file = exported?.import ?? exported?.default ?? manifest.main;
  if (file === undefined) throw new Error(`${specifier} exports no module`);
  return import(pathToFileURL(join(folder, file)).href);
}

/** Of a package.json. `require.resolve` would not do: it refuses packages of ES modules alone. */
interface Manifest {
  main?: string;
  exports?: Record<string, { import?: string; default?: string } | undefined>;
}
