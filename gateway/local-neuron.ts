// The neuron that the gateway starts beside itself where none is configured: one child process, kept alive, ended with
// us. It also ends when we are killed: the child exits when its IPC channel closes.

import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { ConfigError } from "./config.ts";
import type { Log } from "./telemetry/log.ts";

export interface LocalNeuronOptions {
  /** The compiled neuron/main.js. */
  script: string;
  model: string;
  /** Taken when free, else any free one. */
  port: number;
  log: Log;
  /** A line of the child's output, without its newline. */
  onLine: (line: string) => void;
  /** A process is on its way and will listen there. */
  onStart: (endpoint: string) => void;
  onDown: (reason: string) => void;
  /** True once the present process has been reached. */
  isReached: () => boolean;
  /** It never came up, several times in a row: restarting is of no use. */
  onGivenUp: (message: string) => void;
  /** The pause before the first restart; it doubles up to thirty times that. Default one second. */
  pauseMs?: number;
  /** How long it may take to end when asked to. Default five seconds. */
  graceMs?: number;
}

const mostFailures = 3;
/** Who lived so long did not die of how it was started: the pauses begin anew. */
const longLifeMs = 60_000;

export class LocalNeuron {
  private readonly options: LocalNeuronOptions;
  private child: ChildProcess | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopping = false;
  /** Ends in a row of processes that had not been reached, and of those that were short-lived. */
  private failures = 0;
  private ends = 0;
  private startedAt = 0;

  constructor(options: LocalNeuronOptions) {
    if (!existsSync(options.script))
      throw new ConfigError(`${options.script} is missing: \`npm run build\` makes it`);
    this.options = options;
  }

  async start(): Promise<void> {
    const { script, model, onLine, onStart, log } = this.options;
    const port = await freePort(this.options.port);
    if (this.stopping) return;
    const child = spawn(process.execPath, [script, "--model", model, "--port", String(port)], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // A terminal's Ctrl-C is for us alone: requests end first, then we end the child.
      detached: true,
    });
    this.child = child;
    this.startedAt = performance.now();
    for (const stream of [child.stdout!, child.stderr!]) createInterface(stream).on("line", onLine);
    child.once("error", (error) => log.error("local neuron", { reason: error.message }));
    child.once("close", (code, signal) => this.ended(signal ?? `exit code ${code}`));
    onStart(`http://127.0.0.1:${port}`);
    log.info("local neuron started", { pid: child.pid, port, model });
  }

  /** Ends the child, by force if it does not end by itself. */
  async stop(): Promise<void> {
    this.stopping = true;
    clearTimeout(this.timer);
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const force = setTimeout(() => child.kill("SIGKILL"), this.options.graceMs ?? 5000);
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGTERM");
    await closed;
    clearTimeout(force);
  }

  private ended(how: string): void {
    if (this.stopping) return;
    const { log, isReached, onDown, onGivenUp, pauseMs = 1000 } = this.options;
    this.failures = isReached() ? 0 : this.failures + 1;
    this.ends = performance.now() - this.startedAt > longLifeMs ? 1 : this.ends + 1;
    onDown(`its process ended (${how})`);
    if (this.failures === mostFailures)
      return onGivenUp(
        `the local neuron ended ${mostFailures} times before it was up, last with ${how}; see its lines above`,
      );
    const waitMs = Math.min(pauseMs * 2 ** (this.ends - 1), 30 * pauseMs);
    log.warn("local neuron ended", { how, restart_in_ms: waitMs });
    this.timer = setTimeout(() => void this.start(), waitMs);
  }
}

/** `wanted` on loopback if nobody listens there, else one that the system chooses. */
async function freePort(wanted: number): Promise<number> {
  return (await tryPort(wanted)) ?? (await tryPort(0))!;
}

function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : undefined));
    });
  });
}
