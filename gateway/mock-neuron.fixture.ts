// A neuron for tests: real sockets, the protocol's status routes, and answers that each test scripts byte by byte.

import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Health, Loading } from "../neuron/protocol.ts";

export interface MockRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** Resolves when the gateway closed the connection before the answer was whole. */
  aborted: Promise<void>;
}

/** What differs from a usual /models entry; the status may be one that the protocol does not know. */
export interface MockModel {
  status: string;
  capabilities?: string[];
  limit?: { context: number; output: number };
  reasoning?: boolean;
  loading?: Loading;
  error?: string;
  vram_used_mb?: number | null;
}

export type Answer = (request: MockRequest, response: ServerResponse) => unknown;

export class MockNeuron {
  /** By id; change them and the next poll sees it. */
  readonly models = new Map<string, MockModel>();
  readonly loads = new Map<string, { in_flight: number; queue_depth: number }>();
  readonly requests: MockRequest[] = [];
  /** Paths of status calls, in order. */
  readonly polls: string[] = [];
  port = 0;
  uptime = 10;
  health: Health["status"] = "ok";
  /** What the neuron says of its own address; default: localhost with its port. */
  advertised: string | undefined;
  /** Status calls hang while true. */
  hung = false;
  totalMb = 24576;
  usedMb = 1536;
  /** Takes what the gateway tells it to do with models: false for what is none of that. */
  lifecycle: (request: MockRequest, response: ServerResponse) => boolean = () => false;
  answer: Answer = (_request, response) => json(response, 200, chatAnswer("hi", 3));
  private readonly server: Server = createServer((req, res) => void this.handle(req, res));
  private readonly sockets = new Set<Socket>();

  constructor(...loaded: string[]) {
    for (const id of loaded) this.models.set(id, { status: "loaded" });
    this.server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async listen(port = 0): Promise<this> {
    this.server.listen(port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  /** As a killed process: every connection is reset, the port is closed. */
  async kill(): Promise<void> {
    const closed = this.server.listening ? once(this.server, "close") : Promise.resolve();
    this.server.close();
    for (const socket of this.sockets) socket.resetAndDestroy();
    await closed;
  }

  private async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = req;
    const chunks: Buffer[] = [];
    for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
    if (method === "GET") {
      this.polls.push(url);
      return this.hung ? undefined : this.tell(url, res);
    }
    const aborted = once(res, "close").then(() =>
      res.writableFinished ? new Promise<void>(() => {}) : undefined,
    );
    const request = { method, path: url, headers, body: Buffer.concat(chunks).toString(), aborted };
    if (this.lifecycle(request, res)) return;
    this.requests.push(request);
    await this.answer(request, res);
  }

  private tell(url: string, res: ServerResponse): void {
    const endpoint = /^\/models\/(.+)\/endpoint$/.exec(url);
    if (url === "/discovery") return json(res, 200, discovery(this.totalMb));
    if (url === "/health") return json(res, 200, this.healthBody());
    if (url === "/models")
      return json(
        res,
        200,
        [...this.models].map(([id, model]) => entry(id, model)),
      );
    if (endpoint && this.models.get(decodeURIComponent(endpoint[1]!))?.status === "loaded")
      return json(res, 200, { url: this.advertised ?? `http://localhost:${this.port}` });
    json(res, 404, { error: { message: "no such thing", type: "x", code: "not_found", param: null } });
  }

  private healthBody() {
    const models = [...this.models].map(([id, { status }]) => ({
      ...{ id, status, in_flight: 0, queue_depth: 0, tok_s_prefill: null, tok_s_decode: null },
      ...this.loads.get(id),
    }));
    const activation = { state: "ready", pending: [], in_progress: null, completed: [], failed: [] };
    const devices = [
      {
        index: 0,
        name: "Mock 9000",
        vram_total_mb: this.totalMb,
        vram_used_mb: this.usedMb,
        vram_free_mb: this.totalMb - this.usedMb,
        utilization_pct: null,
        temp_c: null,
      },
    ];
    return { status: this.health, uptime_secs: this.uptime, devices, activation, models };
  }
}

const discovery = (totalMb: number) => ({
  ...{ hostname: "mock", os: "linux", kernel: "6", version: "9.9.9", harnesses: ["webgpu"] },
  devices: [
    {
      index: 0,
      name: "Mock 9000",
      vendor: "m",
      driver: "1",
      kind: "hardware",
      backend: "vulkan",
      vram_total_mb: totalMb,
      features: [],
    },
  ],
});

function entry(id: string, model: MockModel) {
  return {
    ...{ id, harness: "webgpu", devices: [0], vram_used_mb: 7, capabilities: ["text"] },
    ...{
      limit: model.status === "loaded" ? { context: 4096, output: 1024 } : null,
      tool_call: true,
      reasoning: false,
    },
    ...model,
  };
}

export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

export function openStream(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.flushHeaders();
}

export const role = sse({ choices: [{ index: 0, delta: { role: "assistant", content: "" } }] });
export const finish = sse({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
export const done = "data: [DONE]\n\n";

export function delta(content: string): string {
  return sse({ choices: [{ index: 0, delta: { content } }] });
}

export function usageChunk(prompt: number, completion: number, cached: number): string {
  return sse({ choices: [], usage: usage(prompt, completion, cached) });
}

export function usage(prompt: number, completion: number, cached = 0) {
  return {
    ...{ prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion },
    prompt_tokens_details: { cached_tokens: cached },
  };
}

export function chatAnswer(content: string, tokens: number) {
  return {
    ...{ id: "chatcmpl-1", object: "chat.completion", created: 1, model: "demo" },
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    usage: usage(11, tokens),
  };
}

function sse(chunk: object): string {
  const head = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "demo" };
  return `data: ${JSON.stringify({ ...head, ...chunk })}\n\n`;
}
