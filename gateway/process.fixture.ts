// A gateway as a program of its own, which can be killed as a machine kills it.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { packageRoot } from "./version.ts";

export class GatewayProcess {
  readonly folder: string;
  private child: ChildProcess | undefined;
  private port = 0;
  /** Its last lines, for a test that fails. */
  readonly lines: string[] = [];

  /** `folder` has its cortex.toml. */
  constructor(folder: string) {
    this.folder = folder;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get alive(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The first time on a free port, later on the same. */
  async start(): Promise<void> {
    const hooks = join(packageRoot(), "test-fixtures/typescript.mjs");
    const args = ["--import", hooks, join(packageRoot(), "gateway/main.ts"), "serve"];
    const env = {
      ...process.env,
      CORTEX_GATEWAY__LISTEN: `127.0.0.1:${this.port}`,
      CORTEX_GATEWAY__METRICS_LISTEN: "127.0.0.1:0",
    };
    const child = spawn(process.execPath, args, { cwd: this.folder, env, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    const listens = new Promise<void>((resolve, reject) => {
      const read = (line: string) => {
        this.lines.push(line);
        this.lines.splice(0, this.lines.length - 200);
        const port = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (!port) return;
        this.port = Number(port);
        resolve();
      };
      for (const stream of [child.stdout, child.stderr]) createInterface(stream).on("line", read);
      child.once("exit", () => reject(new Error(`the gateway ended:\n${this.lines.join("\n")}`)));
    });
    await listens;
  }

  async kill(): Promise<void> {
    if (!this.alive) return;
    this.child!.kill("SIGKILL");
    await once(this.child!, "exit");
  }
}
