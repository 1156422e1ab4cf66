// Programs that are measured from outside: their processor time and memory as Linux counts them.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";

export class Program {
  readonly url: string;
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.child = child;
    this.url = url;
  }

  /** Waits for a line that `port` finds a port in; its output is not kept. */
  static async start(
    args: readonly string[],
    port: RegExp,
    env: Record<string, string> = {},
  ): Promise<Program> {
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "ignore"],
      env: { ...process.env, ...env },
    });
    for await (const line of createInterface(child.stdout)) {
      const found = port.exec(line)?.[1];
      if (!found) continue;
      child.stdout.resume();
      return new Program(child, `http://127.0.0.1:${found}`);
    }
    throw new Error(`${args.join(" ")} ended before it listened`);
  }

  /** Processor time of all its threads, in µs. */
  get cpuUs(): number {
    const folder = `/proc/${this.child.pid}/task`;
    const spent = (thread: string) =>
      Number(readFileSync(`${folder}/${thread}/schedstat`, "utf8").split(" ")[0]);
    return readdirSync(folder).reduce((sum, thread) => sum + spent(thread), 0) / 1000;
  }

  /** Resident memory, in MiB. */
  get rssMb(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) / 1024;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
  }
}
