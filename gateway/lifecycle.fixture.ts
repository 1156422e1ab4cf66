// What a mock neuron does when it is told to load and unload: it has so much memory, takes its time, and fails as told.

import { onTestFinished } from "vitest";
import { MockNeuron, json, type MockRequest } from "./mock-neuron.fixture.ts";
import type { ServerResponse } from "node:http";

export interface Refusal {
  status: number;
  code: string;
  needed_bytes?: number;
  available_bytes?: number;
}

export class Keeper {
  readonly neuron: MockNeuron;
  /** In MiB, by model; others take 1. */
  sizes: Record<string, number> = {};
  loadMs = 40;
  /** By model: why it cannot be loaded. */
  readonly refusals = new Map<string, Refusal>();
  /** While set, loads and unloads are begun but do not end. */
  gate: Promise<unknown> = Promise.resolve();
  /** "load a", "unload b", in order; those that were refused too. */
  readonly told: string[] = [];
  readonly bodies: Record<string, unknown>[] = [];
  /** Loads that go on at the same time, at most. */
  most = 0;
  private now = 0;

  constructor(neuron: MockNeuron) {
    this.neuron = neuron;
    neuron.usedMb = 0;
    neuron.lifecycle = (request, response) => this.take(request, response);
    for (const id of neuron.models.keys()) this.put(id);
  }

  /** The model is there. */
  put(id: string): void {
    this.neuron.models.set(id, { status: "loaded", vram_used_mb: this.sizes[id] ?? 1 });
    this.weigh();
  }

  busy(id: string, requests: number): void {
    this.neuron.loads.set(id, { in_flight: requests, queue_depth: 0 });
  }

  private take({ path, body }: MockRequest, response: ServerResponse): boolean {
    const work = { "/models/load": this.load, "/models/unload": this.unload, "/restart": this.restart }[path];
    if (work) void work.call(this, JSON.parse(body) as Record<string, unknown>, response);
    return work !== undefined;
  }

  private async load(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const id = String(body.model_id);
    const loading = { phase: "reading" as const, bytes: 43, total_bytes: 100, tensors: 1, total_tensors: 2 };
    this.told.push(`load ${id}`);
    this.bodies.push(body);
    this.most = Math.max(this.most, ++this.now);
    this.neuron.models.set(id, { status: "loading", loading, vram_used_mb: null, capabilities: [] });
    await this.gate;
    await new Promise((resolve) => setTimeout(resolve, this.loadMs));
    this.now--;
    const lacks = (this.sizes[id] ?? 1) + this.neuron.usedMb - this.neuron.totalMb;
    const refusal = this.refusals.get(id) ?? (lacks > 0 ? { status: 422, code: "out_of_memory" } : undefined);
    if (refusal) {
      const { status, ...error } = refusal;
      this.neuron.models.set(id, { status: "failed", error: "as the test says" });
      return json(response, status, { error: { message: "/secret/path", type: "x", param: null, ...error } });
    }
    this.put(id);
    json(response, 200, { status: "loaded", model_id: id });
  }

  private async unload(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const id = String(body.model_id);
    this.told.push(`unload ${id}`);
    await this.gate;
    const refuse = (status: number, code: string) =>
      json(response, status, { error: { message: code, type: "x", code, param: null } });
    if (!this.neuron.models.has(id)) return refuse(404, "model_not_found");
    if ((this.neuron.loads.get(id)?.in_flight ?? 0) > 0 && body.force !== true)
      return refuse(409, "model_busy");
    this.neuron.models.delete(id);
    this.neuron.loads.delete(id);
    this.weigh();
    json(response, 200, { status: "unloaded", model_id: id });
  }

  private async restart(_body: object, response: ServerResponse): Promise<void> {
    this.told.push("restart");
    await this.gate;
    json(response, 200, { status: "restarted" });
  }

  private weigh(): void {
    const models = [...this.neuron.models.values()];
    this.neuron.usedMb = models.reduce((sum, { vram_used_mb }) => sum + (vram_used_mb ?? 0), 0);
  }
}

/** A neuron with that much memory and those models, each of its size. */
export async function openKeeper(
  totalMb: number,
  sizes: Record<string, number> = {},
  ...loaded: string[]
): Promise<Keeper> {
  const neuron = await new MockNeuron().listen();
  onTestFinished(() => neuron.kill());
  const keeper = new Keeper(neuron);
  keeper.sizes = sizes;
  neuron.totalMb = totalMb;
  for (const id of loaded) keeper.put(id);
  return keeper;
}
