// A NATS server of a test's own, on a free port, with its records in a folder that goes with it.

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const program = ["nats-server", "/usr/sbin/nats-server"].find(
  (name) => spawnSync(name, ["--version"]).status === 0,
);
export const hasNats = program !== undefined;

export class NatsServer {
  private readonly folder = mkdtempSync(join(tmpdir(), "nats-"));
  private child: ChildProcess | undefined;
  private port = -1;
  private readonly flags: string[];

  constructor(flags: string[] = ["-js"]) {
    this.flags = flags;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** The first time on a free port, later on the same. */
  async start(): Promise<void> {
    const args = ["-a", "127.0.0.1", "-p", String(this.port), "-sd", this.folder, ...this.flags];
    this.child = spawn(program!, args, { stdio: ["ignore", "ignore", "pipe"] });
    for await (const line of createInterface(this.child.stderr!)) {
      const port = /client connections on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port) this.port = Number(port);
      if (line.includes("Server is ready")) break;
    }
    this.child.stderr!.resume();
  }

  async kill(): Promise<void> {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
