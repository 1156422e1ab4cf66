// A neuron with the demo model in a process of its own.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { packageRoot } from "../../engine/root.ts";

export interface Neuron {
  url: string;
  /** Resident memory, MiB. */
  residentMb(): Promise<number>;
  stop(): Promise<void>;
}

/** Waits until it is ready. Errors: a plain Error with what it said, where it ends instead. */
export async function startNeuron(adapter: string | undefined, env: Record<string, string>): Promise<Neuron> {
  const isSource = import.meta.url.endsWith(".ts");
  const program = isSource
    ? ["--import", join(packageRoot, "test-fixtures/typescript.mjs"), join(packageRoot, "neuron/main.ts")]
    : [join(packageRoot, "dist/neuron/main.js")];
  const flags = ["--model", "demo", "--port", "0", ...(adapter === undefined ? [] : ["--adapter", adapter])];
  const child = spawn(process.execPath, [...program, ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  const said: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    said.push(line);
    const url = /^ready: (\S+)\/v1 serves/.exec(line)?.[1];
    if (!url) continue;
    child.stderr.resume();
    return { url, residentMb: () => residentMb(url), stop: () => stop(child) };
  }
  throw new Error(`the neuron ended: ${said.join("\n")}`);
}

async function residentMb(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(text)![1]) / 2 ** 20;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}
