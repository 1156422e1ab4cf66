// Keeps pinned models where models.toml wants them: loaded at the start, and again when they were lost. Several gateways
// may do so at once; a neuron's turn lets the second find that it is done.

import { GatewayError } from "../errors.ts";
import type { Means } from "./evictions.ts";
import { cooldownMs } from "./load-failure.ts";
import type { Loads } from "./loads.ts";
import type { Attempts, Next, Pin } from "./pinned.ts";
import { attempted, nextPins, pauseAfter } from "./pinned.ts";

export class Preloads {
  private readonly means: Means;
  private readonly loads: Loads;
  private readonly closing = new AbortController();
  /** By neuron and model. */
  private readonly attempts = new Map<string, Attempts & { restMs: number }>();
  /** What was last said of those that wait. */
  private readonly said = new Map<string, string>();
  /** By neuron: one model after another. */
  private readonly running = new Map<string, Promise<void>>();

  constructor(means: Means, loads: Loads) {
    this.means = means;
    this.loads = loads;
  }

  /** Begins what is due now, and waits for none of it. */
  look(): void {
    const { fleet, stays } = this.means;
    if (this.closing.signal.aborted) return;
    const free = fleet.neurons.filter(({ name }) => !this.running.has(name));
    for (const next of nextPins(free, stays.pinned(), stays.terms(), (pin) => this.rests(pin)))
      if (next.kind === "wait") this.say(next);
      else this.begin(next.pin);
  }

  async stop(): Promise<void> {
    this.closing.abort(new GatewayError("shutting_down", "The gateway is shutting down."));
    await Promise.all(this.running.values());
  }

  private rests(pin: Pin): boolean {
    const { fleet, stays } = this.means;
    const last = this.attempts.get(keyOf(pin));
    const isTooSoon = last !== undefined && fleet.now() - last.at < last.restMs;
    return isTooSoon || stays.isAside(pin.neuron, pin.model);
  }

  private begin(pin: Pin): void {
    this.said.delete(keyOf(pin));
    const done = this.load(pin).finally(() => this.running.delete(pin.neuron));
    this.running.set(pin.neuron, done);
  }

  private async load({ neuron, model }: Pin): Promise<void> {
    const { fleet, stays, log } = this.means;
    const key = keyOf({ neuron, model });
    const attempts = attempted(this.attempts.get(key), fleet.now());
    const withinMs = stays.settings.loading.timeout_s * 1000;
    let restMs = pauseAfter(attempts);
    try {
      await this.loads.bring(model, { neuron, withinMs, gently: true, signal: this.closing.signal });
    } catch (error) {
      if (this.closing.signal.aborted) return;
      restMs = Math.max(restMs, cooldownMs);
      const again_s = restMs / 1000;
      log.warn("pinned model not loaded", { neuron, model, reason: reasonOf(error), again_s });
    } finally {
      this.attempts.set(key, { ...attempts, at: fleet.now(), restMs });
    }
  }

  /** Once for each reason. */
  private say({ pin, why }: Extract<Next, { kind: "wait" }>): void {
    const key = keyOf(pin);
    if (this.said.get(key) === why) return;
    this.said.set(key, why);
    this.means.log.warn("pinned model finds no room", { ...pin, why });
  }
}

function keyOf({ neuron, model }: Pin): string {
  return `${neuron}\n${model}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
