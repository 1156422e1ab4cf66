import { basename } from "node:path";
import * as v from "valibot";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { emptyModelFolder, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon, Json } from "./daemon.fixture.ts";
import { FakeModel, content, finished, started } from "./fake-engine.fixture.ts";
import type { Fetch } from "./models.ts";
import { Discovery, Health, LoadResponse, ModelList, UnloadResponse, Version } from "./protocol.ts";

let daemon: Daemon;
let open: (value?: unknown) => void;
let fetching: (bytes: number) => void;
let fetched: PromiseWithResolvers;
let fetchedQuant: string | undefined;

interface PromiseWithResolvers {
  promise: ReturnType<Fetch>;
  resolve(found: Awaited<ReturnType<Fetch>>): void;
  reject(error: unknown): void;
}

function resolvers(): PromiseWithResolvers {
  const all = {} as PromiseWithResolvers;
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}

const hub: Fetch = (reference, onProgress, signal) => {
  expect(reference).toMatchObject({ name: "org/remote", revision: "v2" });
  fetchedQuant = reference.quant;
  fetching = (bytes) => onProgress(bytes, 1000);
  signal.addEventListener("abort", () => fetched.reject(new Error("aborted")));
  return fetched.promise;
};

beforeEach(async () => {
  fetched = resolvers();
  daemon = await startDaemon({ load: false, fetch: hub });
  daemon.engine.gate = new Promise((resolve) => (open = resolve));
});
afterEach(() => daemon.close());

const get = async (path: string) => json(fetch(daemon.url + path));
const load = (body: object) => post(`${daemon.url}/models/load`, body);
const unload = (body: object) => post(`${daemon.url}/models/unload`, body);

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 4000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
}

async function refusal(
  answer: Response | Promise<Response>,
): Promise<[number, string, string | null, string]> {
  const got = await answer;
  const { error } = await json(got);
  return [got.status, error.code, error.param, error.message];
}

describe("status", () => {
  test("everything speaks the protocol, with nothing loaded and with a model", async () => {
    for (const step of ["empty", "loaded"]) {
      if (step === "loaded") {
        open();
        await load({ model_id: "demo", source: emptyModelFolder() });
      }
      const health = v.parse(Health, await get("/health"));
      const models = v.parse(ModelList, await get("/models"));
      v.parse(Discovery, await get("/discovery"));
      v.parse(Version, await get("/version"));
      expect(health.models.map((model) => model.id)).toEqual(step === "empty" ? [] : ["demo"]);
      expect(models.map((model) => model.id)).toEqual(step === "empty" ? [] : ["demo"]);
    }
  });

  test("discovery and memory", async () => {
    expect(await get("/discovery")).toMatchObject({
      harnesses: ["webgpu"],
      formats: ["safetensors", "gguf"],
      quants: ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"],
      devices: [{ index: 1, name: "Fake GPU", kind: "hardware", driver: "0.0", vram_total_mb: 24_000 }],
    });
    expect((await get("/health")).devices).toEqual([
      {
        ...{ index: 1, name: "Fake GPU", vram_total_mb: 24_000, vram_used_mb: 1000, vram_free_mb: 23_000 },
        ...{ state: "ready", losses: 0 },
      },
    ]);
  });

  test("a loaded model", async () => {
    open();
    await load({ model_id: "org/fake", source: emptyModelFolder() });
    expect(await get("/models")).toEqual([
      {
        id: "org/fake",
        harness: "webgpu",
        status: "loaded",
        format: "gguf",
        quant: "q4_k",
        devices: [1],
        vram_used_mb: 15,
        capabilities: ["text"],
        modalities: { input: ["text"], output: ["text"] },
        limit: { context: 4096, output: 2048 },
        tool_call: true,
        reasoning: true,
      },
    ]);
    const list = await get("/v1/models");
    expect(list).toMatchObject({
      object: "list",
      data: [{ id: "org/fake", object: "model", owned_by: "neuron", format: "gguf", quant: "q4_k" }],
    });
    expect((await get("/health")).models[0]).toMatchObject({ format: "gguf", quant: "q4_k" });
    expect(Math.abs(Date.now() / 1000 - list.data[0].created)).toBeLessThan(5);
  });

  test.each(["org/fake", "org%2Ffake"])("by id, with its slash as %s", async (id) => {
    open();
    await load({ model_id: "org/fake", source: emptyModelFolder() });
    expect(await get(`/v1/models/${id}`)).toMatchObject({ id: "org/fake", context_length: 4096 });
    expect(await get(`/models/${id}/endpoint`)).toEqual({ url: daemon.url });
    expect((await fetch(`${daemon.url}/models/${id}/nothing`)).status).toBe(404);
  });

  test("by an unknown id", async () => {
    expect((await refusal(fetch(`${daemon.url}/v1/models/a/b`))).slice(0, 2)).toEqual([
      404,
      "model_not_found",
    ]);
    expect((await refusal(fetch(`${daemon.url}/models/a/b/endpoint`))).slice(0, 2)).toEqual([
      404,
      "model_not_found",
    ]);
  });

  test("GET / says what this is", async () => {
    const root = await get("/");
    expect(root).toMatchObject({ name: "neuron", models: [] });
    expect(root.routes).toEqual(expect.arrayContaining(["POST /v1/chat/completions", "GET /health"]));
  });

  test("figures of the last requests", async () => {
    open();
    await load({ model_id: "org/fake", source: emptyModelFolder() });
    const messages = [{ role: "user", content: "hi" }];
    expect((await get("/health")).models[0]).toMatchObject({ tok_s_prefill: null, tok_s_decode: null });
    await json(post(`${daemon.url}/v1/chat/completions`, { model: "org/fake", messages }));
    // 8 uncached tokens in 5 ms; 6 after the first in 70 ms.
    const [{ tok_s_prefill, tok_s_decode }] = (await get("/health")).models;
    expect([tok_s_prefill, tok_s_decode]).toEqual([1600, expect.closeTo(85.71, 1)]);
    const metrics = await (await fetch(`${daemon.url}/metrics`)).text();
    for (const line of [
      'neuron_requests_total{model="org/fake",endpoint="chat",outcome="stop"} 1',
      'neuron_tokens_total{model="org/fake",kind="prompt"} 11',
      'neuron_tokens_total{model="org/fake",kind="completion"} 7',
      'neuron_time_to_first_token_seconds_count{model="org/fake",endpoint="chat"} 1',
      'neuron_decode_tokens_per_second_count{model="org/fake"} 1',
      'neuron_request_duration_seconds_count{model="org/fake",endpoint="chat"} 1',
      'neuron_model_load_seconds_count{model="org/fake"} 1',
      'neuron_requests_in_flight{model="org/fake"} 0',
      'neuron_model_status{model="org/fake",status="loaded"} 1',
      'neuron_device_memory_bytes{kind="used"} 1048576000',
      'neuron_kv_cache_pages{model="org/fake",kind="idle"} 30',
      'neuron_prefix_cache_bytes{model="org/fake"} 5000000',
      'neuron_prefix_cache_lookups_total{model="org/fake"} 8',
      'neuron_prefix_cache_hits_total{model="org/fake"} 6',
      'neuron_prefix_cache_tokens_total{model="org/fake",kind="reused"} 640',
      'neuron_preemptions_total{model="org/fake"} 1',
      "process_cpu_seconds_total",
    ]) {
      expect(metrics).toContain(line);
    }
    await post(`${daemon.url}/v1/chat/completions`, { model: "unknown", messages });
    expect(await (await fetch(`${daemon.url}/metrics`)).text()).toContain(
      'neuron_errors_total{code="model_not_found"} 1',
    );
  });

  test("queue figures while requests run", async () => {
    open();
    await load({ model_id: "org/fake", source: emptyModelFolder() });
    let go: (value?: unknown) => void = () => undefined;
    const held = new Promise((resolve) => (go = resolve));
    daemon.model.script = [started, held, content("x"), finished()];
    const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }] };
    const both = [1, 2].map(() => post(`${daemon.url}/v1/chat/completions`, body));
    await until(() => daemon.model.load.waiting === 1);
    expect((await get("/health")).models[0]).toMatchObject({ in_flight: 1, queue_depth: 1 });
    expect(await (await fetch(`${daemon.url}/metrics`)).text()).toContain(
      'neuron_requests_queued{model="org/fake"} 1',
    );
    go();
    for (const answer of await Promise.all(both)) expect(answer.status).toBe(200);
  });
});

describe("load", () => {
  test("a folder takes its own name; progress shows until it is loaded", async () => {
    const folder = emptyModelFolder("tiny");
    const loading = load({ model_id: folder, context_length: 777 });
    await until(() => daemon.engine.loads.length === 1);
    const progress = { phase: "reading", bytes: 3, total_bytes: 9, tensors: 1, total_tensors: 4 };
    const id = basename(folder);
    expect((await get("/health")).models).toMatchObject([{ id, status: "loading", loading: progress }]);
    expect(await get("/models")).toMatchObject([
      { id, status: "loading", limit: null, vram_used_mb: null, loading: progress },
    ]);
    const early = await post(`${daemon.url}/v1/completions`, { model: id, prompt: "x" });
    expect(early.headers.get("retry-after")).toBe("2");
    expect((await refusal(early)).slice(0, 4)).toEqual([
      503,
      "model_loading",
      "model",
      `model "${id}" is still reading (33%); ask again soon`,
    ]);
    daemon.engine.report({ phase: "warming", bytes: 9, tensors: 4 });
    expect((await get("/health")).models).toMatchObject([{ id, loading: { phase: "warming", bytes: 9 } }]);
    const late = await refusal(await post(`${daemon.url}/v1/completions`, { model: id, prompt: "x" }));
    expect(late[3]).toBe(`model "${id}" is still warming up; ask again soon`);
    open();
    const answer = v.parse(LoadResponse, await json(loading));
    expect(answer).toEqual({ status: "loaded", model_id: id });
    expect(daemon.engine.loads).toEqual([folder]);
    expect(daemon.engine.options).toEqual([{ contextLength: 777 }]);
    expect((await get("/models"))[0]).not.toHaveProperty("loading");
  });

  test("five callers share one load, a sixth finds it done", async () => {
    const body = { model_id: "m", source: emptyModelFolder() };
    let answered = 0;
    const callers = Array.from({ length: 5 }, () => load(body).finally(() => answered++));
    await until(() => daemon.engine.loads.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answered).toBe(0);
    open();
    for (const answer of await Promise.all(callers))
      expect(await json(answer)).toMatchObject({ status: "loaded" });
    expect((await load(body)).status).toBe(200);
    expect((await load({ model_id: "m" })).status).toBe(200);
    expect(daemon.engine.loads).toHaveLength(1);
  });

  test("two models load one after the other", async () => {
    const [first, second] = [emptyModelFolder("a"), emptyModelFolder("b")];
    const both = [load({ model_id: first }), load({ model_id: second })];
    await until(() => daemon.engine.loads.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(daemon.engine.loads).toHaveLength(1);
    expect((await get("/health")).models[1]).toMatchObject({
      status: "loading",
      loading: { phase: "waiting" },
    });
    open();
    await Promise.all(both);
    expect(daemon.engine.loads).toEqual([first, second]);
  });

  test("a failure is told, remembered, and tried again on request", async () => {
    open();
    daemon.engine.next = new EngineError(
      "unsupported_model",
      'model_type "gpt2" is not one of: qwen3, llama',
    );
    const body = { model_id: "m", source: emptyModelFolder() };
    expect((await refusal(load(body))).slice(0, 2)).toEqual([422, "unsupported_model"]);
    expect((await get("/models"))[0]).toMatchObject({
      status: "failed",
      error: expect.stringContaining("gpt2"),
    });
    const chat = { model: "m", messages: [{ role: "user", content: "hi" }] };
    const [status, , , message] = await refusal(post(`${daemon.url}/v1/chat/completions`, chat));
    expect([status, message]).toEqual([404, expect.stringContaining("is failed (model_type")]);
    daemon.engine.next = new FakeModel();
    expect((await load({ model_id: "m" })).status).toBe(200);
    expect((await get("/models"))[0]).toMatchObject({ status: "loaded" });
  });

  test("one id is one model", async () => {
    open();
    const folder = emptyModelFolder("a");
    await load({ model_id: "m", source: folder });
    expect((await refusal(load({ model_id: "m", source: emptyModelFolder("b") }))).slice(0, 3)).toEqual([
      409,
      "model_busy",
      "model_id",
    ]);
    expect((await refusal(load({ model_id: "m", source: folder, context_length: 5 })))[3]).toContain(
      "4096 tokens",
    );
    expect((await load({ model_id: "m", source: folder, context_length: 4096 })).status).toBe(200);
  });

  test.each([
    [{ model_id: "m", tensor_parallel: 0 }, "bad_request", "tensor_parallel"],
    [{ model_id: "m", weights: [2, 0] }, "bad_request", "weights.1"],
    [{ model_id: "m", harness: "candle" }, "unsupported_parameter", "harness"],
    [{ model_id: "m", devices: [-1] }, "bad_request", "devices.0"],
    [{ model_id: "m", colour: "red" }, "bad_request", "colour"],
    [{ model_id: "" }, "bad_request", "model_id"],
    [{}, "bad_request", "model_id"],
  ])("refuses %j", async (body, code, param) => {
    expect((await refusal(load(body))).slice(0, 3)).toEqual([400, code, param]);
  });

  test.each(["/nowhere/at/all", "nonsense", "org/name@", "a/b/c", "org/../name"])(
    "finds nothing at %s",
    async (id) => {
      expect((await refusal(load({ model_id: id }))).slice(0, 2)).toEqual([404, "model_not_found"]);
    },
  );

  test("what asks for nothing passes", async () => {
    open();
    const nothing = {
      harness: "webgpu",
      devices: [1],
      tensor_parallel: 1,
      quant: null,
      context_length: null,
    };
    expect((await load({ model_id: "m", source: emptyModelFolder(), ...nothing })).status).toBe(200);
  });

  test("the devices of a model go to the engine, and are remembered", async () => {
    open();
    const source = emptyModelFolder();
    const spread = { devices: [1, 0], tensor_parallel: 2, weights: [2, 1] };
    await load({ model_id: "m", source, ...spread });
    await unload({ model_id: "m" });
    await load({ model_id: "m" });
    const asked = { devices: [1, 0], tensorParallel: 2, weights: [2, 1] };
    expect(daemon.engine.options).toEqual([asked, asked]);
  });

  test("the form of the weights goes to the device, from wherever it is said", async () => {
    open();
    const folder = emptyModelFolder();
    expect((await load({ model_id: "a", source: folder, quant: "q4_k" })).status).toBe(200);
    expect((await load({ model_id: "b", source: `${folder}:q8_0` })).status).toBe(200);
    expect((await load({ model_id: "c", source: folder })).status).toBe(200);
    expect(daemon.engine.loads).toEqual([folder, folder, folder]);
    expect(daemon.engine.options.map(({ quant }) => quant)).toEqual(["q4_k", "q8_0", undefined]);
    expect((await load({ model_id: "a", source: folder, quant: "Q4_K" })).status).toBe(200);
    const [status, code, , message] = await refusal(load({ model_id: "a", source: folder, quant: "q8_0" }));
    expect([status, code]).toEqual([409, "model_busy"]);
    expect(message).toContain(`from ${folder}:q4_k, not ${folder}:q8_0`);
    expect(
      (await refusal(load({ model_id: "d", source: `${folder}:q8_0`, quant: "q4_k" }))).slice(0, 3),
    ).toEqual([400, "bad_request", "quant"]);
    await unload({ model_id: "a" });
    expect((await load({ model_id: "a" })).status).toBe(200);
    expect(daemon.engine.options.at(-1)).toMatchObject({ quant: "q4_k" });
  });

  test("from the hub, with the progress of the download", async () => {
    open();
    const loading = load({ model_id: "org/remote@v2", quant: "Q6_K" });
    await until(() => fetching !== undefined);
    fetching(250);
    expect((await get("/health")).models[0]).toMatchObject({
      id: "org/remote@v2",
      loading: { phase: "downloading", bytes: 250, total_bytes: 1000 },
    });
    const folder = emptyModelFolder();
    fetched.resolve({ path: folder, quant: "q6_k" });
    expect(await json(loading)).toEqual({ status: "loaded", model_id: "org/remote@v2" });
    expect(daemon.engine.loads).toEqual([folder]);
    expect(fetchedQuant).toBe("Q6_K");
    expect(daemon.engine.options).toEqual([{ quant: "q6_k" }]);
  });
});

describe("unload", () => {
  test("frees the model; another load finds it again", async () => {
    open();
    await load({ model_id: "m", source: emptyModelFolder() });
    const answer = v.parse(UnloadResponse, await json(unload({ model_id: "m" })));
    expect(answer).toEqual({ status: "unloaded", model_id: "m" });
    expect(daemon.model.unloaded).toBe(true);
    expect(await get("/models")).toEqual([]);
    daemon.engine.next = new FakeModel();
    expect((await load({ model_id: "m" })).status).toBe(200);
  });

  test("an unknown one", async () => {
    expect((await refusal(unload({ model_id: "m" }))).slice(0, 3)).toEqual([
      404,
      "model_not_found",
      "model_id",
    ]);
  });

  test("a busy one stays, unless forced", async () => {
    open();
    await load({ model_id: "m", source: emptyModelFolder() });
    daemon.model.script = [started, new Promise(() => undefined)];
    const body = { model: "m", messages: [{ role: "user", content: "hi" }] };
    const running = post(`${daemon.url}/v1/chat/completions`, body);
    await until(() => daemon.model.load.running === 1);
    expect((await refusal(unload({ model_id: "m" }))).slice(0, 2)).toEqual([409, "model_busy"]);
    expect(daemon.model.unloaded).toBe(false);
    expect((await get("/models"))[0]).toMatchObject({ status: "loaded" });
    expect((await unload({ model_id: "m", force: true })).status).toBe(200);
    expect((await refusal(running)).slice(0, 2)).toEqual([503, "cancelled"]);
  });

  test("one that is loading stays, unless forced, which stops the download", async () => {
    const loading = load({ model_id: "org/remote@v2" });
    await until(() => daemon.models.list().length === 1);
    expect((await refusal(unload({ model_id: "org/remote@v2" }))).slice(0, 2)).toEqual([409, "model_busy"]);
    expect((await unload({ model_id: "org/remote@v2", force: true })).status).toBe(200);
    expect((await refusal(loading)).slice(0, 2)).toEqual([503, "cancelled"]);
    expect(await get("/models")).toEqual([]);
  });

  test("one that is being read stays, unless forced, which ends its load", async () => {
    const loading = load({ model_id: "m", source: emptyModelFolder() });
    await until(() => daemon.engine.loads.length === 1);
    expect((await refusal(unload({ model_id: "m" }))).slice(0, 2)).toEqual([409, "model_busy"]);
    expect((await unload({ model_id: "m", force: true })).status).toBe(200); // while the engine waits for its gate
    expect((await refusal(loading)).slice(0, 2)).toEqual([503, "cancelled"]);
    expect(await get("/models")).toEqual([]);
  });
});

describe("activation", () => {
  test("each default model is in one list at a time", async () => {
    const [good, later] = [emptyModelFolder("good"), emptyModelFolder("later")];
    const done = daemon.models.activate([
      { id: "good", source: good },
      { id: "/nowhere" },
      { id: "later", source: later },
    ]);
    const state = async (): Promise<Json> => (await get("/health")).activation;
    expect(await state()).toEqual({
      state: "pre_warming",
      pending: ["/nowhere", "later"],
      in_progress: "good",
      completed: [],
      failed: [],
    });
    open();
    await done;
    expect(await state()).toEqual({
      state: "ready",
      pending: [],
      in_progress: null,
      completed: ["good", "later"],
      failed: [{ model_id: "/nowhere", error: "model folder /nowhere does not exist" }],
    });
  });

  test("closing refuses what is new and stops downloads", async () => {
    const loading = load({ model_id: "org/remote@v2" });
    await until(() => daemon.models.list().length === 1);
    daemon.models.close();
    expect((await refusal(loading)).slice(0, 2)).toEqual([503, "shutting_down"]);
    expect((await refusal(load({ model_id: "m" }))).slice(0, 2)).toEqual([503, "shutting_down"]);
    expect((await get("/health")).status).toBe("shutting_down");
  });
});
