// Runs a client as a user would, in a home folder of its own, with nothing but loopback to talk to.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Settings } from "../gateway/commands/client-settings.ts";

export interface Home {
  path: string;
  /** Where the client is started. */
  work: string;
  /** Ends what a client left running, and removes the folder. */
  close(): Promise<void>;
}

export function openHome(): Home {
  const path = mkdtempSync(join(tmpdir(), "cortex-client-"));
  const work = join(path, "work");
  mkdirSync(work);
  return {
    ...{ path, work },
    close: async () => {
      for (let i = 0; i < 50 && endLeftovers(path) > 0; i++)
        await new Promise((wake) => setTimeout(wake, 100));
      rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

/** Some clients leave a daemon behind: it is known by its home folder, which only our clients have. */
function endLeftovers(home: string): number {
  const pids = process.platform === "linux" ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : [];
  const ours = pids.map(Number).filter((pid) => environmentOf(pid).includes(`HOME=${home}`));
  for (const pid of ours) end(pid);
  return ours.length;
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return []; // gone, or another user's
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // gone meanwhile
  }
}

export function writeSettings(
  home: Home,
  { files }: Settings,
  quiet: Record<string, Record<string, unknown>> = {},
): void {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  for (const [path, more] of Object.entries(quiet)) {
    const there = JSON.parse(texts.get(path) ?? "{}") as object;
    texts.set(path, JSON.stringify({ ...there, ...more }));
  }
  for (const [path, text] of texts) {
    const full = path.replace("~", home.path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }
}

export interface Ran {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export interface Run {
  home: Home;
  env: Record<string, string>;
  /** The proxy that lets nothing through. */
  trap: string;
  timeoutMs: number;
}

export async function run(command: string, args: readonly string[], options: Run): Promise<Ran> {
  const { home, trap, timeoutMs } = options;
  const child = spawn(command, args, {
    cwd: home.work,
    env: { ...surroundings(home.path, trap), ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data) => (stdout += String(data)));
  child.stderr.on("data", (data) => (stderr += String(data)));
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => setTimeout(() => resolve(code), 50)); // a daemon may hold the pipes open
  });
  clearTimeout(timer);
  child.stdout.destroy();
  child.stderr.destroy();
  return { exitCode, stdout: plain(stdout), stderr: plain(stderr) };
}

/** Nothing of ours but the way to programs. */
function surroundings(home: string, trap: string): Record<string, string> {
  const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
  return {
    ...{ PATH: process.env.PATH ?? "", HOME: home, LANG: "C.UTF-8", TERM: "dumb", NO_COLOR: "1", CI: "true" },
    ...{ TMPDIR: tmpdir(), SHELL: "/bin/bash", GIT_TERMINAL_PROMPT: "0" },
    ...Object.fromEntries(proxies.map((name) => [name, trap])),
    ...{ NO_PROXY: "127.0.0.1,localhost", no_proxy: "127.0.0.1,localhost", DO_NOT_TRACK: "1" },
  };
}

function plain(text: string): string {
  return text.replace(/\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\r/g, "");
}
