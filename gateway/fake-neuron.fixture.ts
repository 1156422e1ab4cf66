// A stand-in for dist/neuron/main.js, as a program: the flags and routes of a neuron, no engine. FAKE_NEURON says how
// it misbehaves: "crash" at once with code 3, or "deaf" to SIGTERM. GET /crash ends it with code 4.

import { writeFileSync } from "node:fs";

const program = `
import { createServer } from "node:http";
const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
const port = Number(flag("--port"));
const id = flag("--model");
console.log("loading " + id);
console.error("pid " + process.pid);
const mode = process.env.FAKE_NEURON;
if (mode === "crash") process.exit(3);
process.on("SIGTERM", () => mode === "deaf" || process.exit(0));
process.on("SIGINT", () => process.exit(0));
if (process.send) process.once("disconnect", () => process.exit(0));
const model = { id, harness: "webgpu", status: "loaded", devices: [0], vram_used_mb: 1, capabilities: ["text"],
  limit: { context: 64, output: 32 }, tool_call: false, reasoning: false };
const load = { id, status: "loaded", in_flight: 0, queue_depth: 0, tok_s_prefill: null, tok_s_decode: null };
const activation = { state: "ready", pending: [], in_progress: null, completed: [id], failed: [] };
const answers = {
  "/discovery": { hostname: "h", os: "linux", kernel: "6", version: "0", devices: [], harnesses: [] },
  "/health": { status: "ok", uptime_secs: 1, devices: [], activation, models: [load] },
  "/models": [model],
  ["/models/" + id + "/endpoint"]: { url: "http://localhost:" + port },
  "/v1/chat/completions": { choices: [{ message: { content: "from " + process.pid } }] },
};
createServer((request, response) => {
  if (request.url === "/crash") process.exit(4);
  const answer = answers[request.url];
  response.writeHead(answer ? 200 : 404, { "content-type": "application/json" }).end(JSON.stringify(answer ?? {}));
}).listen(port, "127.0.0.1");
`;

export function writeFakeNeuron(path: string): string {
  writeFileSync(path, program);
  return path;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
