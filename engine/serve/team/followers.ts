// The ranks that follow, as the one that leads their model knows them.
import type { MessagePort } from "node:worker_threads";
import { EngineError, fromPlainError } from "../../errors.ts";
import type { PartFigures } from "../part.ts";
import type { FromFollower, RankOrder, ToFollower } from "./messages.ts";

/** A rank's port: what was asked, and who waits for the replies. */
class Line {
  readonly #port: MessagePort;
  readonly #waiting: { resolve(figures: PartFigures | undefined): void; reject(error: Error): void }[] = [];
  #gone: EngineError | undefined;

  constructor(port: MessagePort, rank: number) {
    this.#port = port;
    port.on("message", (reply: FromFollower) => {
      const asked = this.#waiting.shift();
      if (reply.type === "done") asked?.resolve(reply.figures);
      else asked?.reject(fromPlainError(reply.error));
    });
    port.on("close", () => {
      this.#gone = new EngineError("device_lost", `rank ${rank} has gone`);
      for (const { reject } of this.#waiting.splice(0)) reject(this.#gone);
    });
  }

  post(message: ToFollower): void {
    this.#port.postMessage(message);
  }

  ask(message: ToFollower): Promise<PartFigures | undefined> {
    if (this.#gone) return Promise.reject(this.#gone);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#port.postMessage(message);
    });
  }

  close(): void {
    this.#port.close();
  }
}

export class Followers {
  readonly #lines: readonly Line[];

  /** In the order of the ranks, from rank 1 on. */
  constructor(ports: readonly MessagePort[]) {
    this.#lines = ports.map((port, i) => new Line(port, i + 1));
  }

  /** In the order of the ranks; `order` says what the one is told. Errors: those of its load. */
  load(order: (rank: number) => RankOrder): Promise<PartFigures | undefined>[] {
    return this.#lines.map((line, i) => line.ask({ type: "load", order: order(i + 1) }));
  }

  /** `message` says what the one of a rank is asked. */
  askEach(message: (rank: number) => ToFollower): Promise<unknown>[] {
    return this.#lines.map((line, i) => line.ask(message(i + 1)));
  }

  ask(message: Exclude<ToFollower, { type: "load" }>): Promise<unknown>[] {
    return this.#lines.map((line) => line.ask(message));
  }

  /** One after another. */
  async askInTurn(message: ToFollower): Promise<void> {
    for (const line of this.#lines) await line.ask(message);
  }

  post(message: ToFollower): void {
    for (const line of this.#lines) line.post(message);
  }

  /** Resolves when they have freed what they had of the model, or are gone. */
  async unload(): Promise<void> {
    await Promise.allSettled(this.ask({ type: "unload" }));
    for (const line of this.#lines) line.close();
  }
}
