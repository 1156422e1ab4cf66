// A neuron that answers at once, in a process of its own: node neuron.js. It prints its port.
// The body's `max_tokens` is the number of events of a stream; `user` is "PAUSE_MS BYTES": between events, and of each.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

interface Body {
  stream?: boolean;
  max_tokens?: number;
  user?: string;
}

const started = performance.now();
const device = { index: 0, name: "bench", vram_total_mb: 24576, vram_used_mb: 0, vram_free_mb: 24576 };
const limit = { context: 131072, output: 65536 };

const server = createServer((request, response) => void answer(request, response));
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === "GET") return json(response, status(request.url ?? ""));
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(Buffer.concat(chunks).toString()) as Body;
  if (body.stream) await stream(response, body);
  else json(response, whole);
}

async function stream(response: ServerResponse, { max_tokens: events = 16, user }: Body): Promise<void> {
  const [pauseMs, bytes] = (user ?? "0 8").split(" ").map(Number) as [number, number];
  response.writeHead(200, { "content-type": "text/event-stream" });
  const event = chunk({ content: "x".repeat(bytes) });
  for (let i = 0; i < events && !response.destroyed; i += 1) {
    if (!response.write(event)) await Promise.race([once(response, "drain"), once(response, "close")]);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  response.end(`${chunk({}, "stop")}data: [DONE]\n\n`);
}

function chunk(delta: object, reason: string | null = null): string {
  const head = { id: "chatcmpl-bench", object: "chat.completion.chunk", created: 1, model: "bench" };
  return `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
}

const whole = {
  ...{ id: "chatcmpl-bench", object: "chat.completion", created: 1, model: "bench" },
  choices: [{ index: 0, message: { role: "assistant", content: "Good day." }, finish_reason: "stop" }],
  usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 },
};

function status(path: string): object {
  const port = (server.address() as AddressInfo).port;
  if (path === "/discovery") return discovery;
  if (path === "/models") return [model];
  if (path.endsWith("/endpoint")) return { url: `http://127.0.0.1:${port}` };
  return health();
}

const discovery = {
  ...{ hostname: "bench", os: "linux", kernel: "6", version: "1", harnesses: ["webgpu"] },
  devices: [{ ...device, vendor: "", driver: "", kind: "hardware", backend: "vulkan", features: [] }],
};

const model = {
  ...{ id: "bench", harness: "webgpu", status: "loaded", devices: [0], vram_used_mb: 1, limit },
  ...{ capabilities: ["text"], tool_call: true, reasoning: false },
};

function health() {
  const load = { in_flight: 0, queue_depth: 0, tok_s_prefill: null, tok_s_decode: null };
  const activation = { state: "ready", pending: [], in_progress: null, completed: [], failed: [] };
  const devices = [{ ...device, utilization_pct: null, temp_c: null }];
  const uptime = (performance.now() - started) / 1000;
  return {
    ...{ status: "ok", uptime_secs: uptime, devices, activation },
    models: [{ id: "bench", status: "loaded", ...load }],
  };
}

function json(response: ServerResponse, value: object): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
