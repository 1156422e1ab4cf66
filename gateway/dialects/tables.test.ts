// The small tables: errors in each dialect, keys of conversations, sealed thoughts, Anthropic's list of models.
import type Anthropic from "@anthropic-ai/sdk";
import { expect, test } from "vitest";
import type { ModelItem } from "../fleet/catalogue.ts";
import { affinityOf } from "./affinity.ts";
import { anthropicModel, anthropicModels } from "./anthropic-models.ts";
import type { Failure } from "./canonical.ts";
import { claudeCode, codex } from "./clients.fixture.ts";
import { anthropicError, openAiError, responseError } from "./failures.ts";
import { seal, unseal } from "./seal.ts";
import { speaksAnthropic } from "./speaker.ts";
import type { Json } from "./streams.fixture.ts";

const failure: Failure = { status: 400, type: "invalid_request_error", code: "x", message: "m", param: "p" };

test.each<[number, string]>([
  [400, "invalid_request_error"],
  [401, "authentication_error"],
  [402, "billing_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [409, "conflict_error"],
  [413, "request_too_large"],
  [422, "invalid_request_error"],
  [429, "rate_limit_error"],
  [500, "api_error"],
  [502, "api_error"],
  [503, "overloaded_error"],
  [504, "timeout_error"],
  [507, "api_error"],
  [529, "overloaded_error"],
])("%i is Anthropic's %s", (status, type) => {
  expect(anthropicError({ ...failure, status }, "req_1")).toEqual({
    ...{ type: "error", error: { type, message: "m" }, request_id: "req_1" },
  });
});

test("OpenAI's envelope has its four fields", () => {
  expect(openAiError(failure)).toEqual({
    error: { message: "m", type: "invalid_request_error", param: "p", code: "x" },
  });
});

test.each([
  [
    "This model's maximum context length is 4096 tokens, but the prompt has 5001 tokens. Shorten it.",
    "prompt is too long: 5001 tokens > 4096 maximum",
  ],
  [
    "This model's maximum context length is 4096 tokens. However, you requested 5001 tokens (5000 in the messages)",
    "prompt is too long: 5001 tokens > 4096 maximum",
  ],
  [
    "request (5001 tokens) exceeds the available context size (4096 tokens)",
    "prompt is too long: 5001 tokens > 4096 maximum",
  ],
  ["too much", "prompt is too long: too much"],
])("an overlong prompt in the words that clients look for: %s", (message, want) => {
  const overflow = { ...failure, code: "context_length_exceeded", message };
  expect((anthropicError(overflow, "r") as Json).error.message).toBe(want);
  expect(responseError(overflow)).toEqual({ code: "context_length_exceeded", message });
});

test("an error within a response has one of the schema's codes", () => {
  expect(responseError({ ...failure, code: "queue_full" })).toEqual({ code: "server_error", message: "m" });
});

const longer = "k".repeat(2000);
test.each<[string, Json, Json, string | undefined]>([
  ["Claude Code by header", { "x-claude-code-session-id": "s1" }, claudeCode, "s1"],
  ["Claude Code by metadata", {}, claudeCode, "5e55-1"],
  ["Claude Code as it was", {}, { metadata: { user_id: "user_ab_account__session_0f-1" } }, "0f-1"],
  ["any user", {}, { metadata: { user_id: "anna" } }, "anna"],
  ["a user that is a number in JSON", {}, { metadata: { user_id: "7" } }, "7"],
  ["Codex by header", { "session-id": "c1" }, codex, "c1"],
  ["Codex by key", {}, codex, "thread-1"],
  ["pi", { session_id: "p1" }, {}, "p1"],
  ["opencode", { "x-session-affinity": "o1" }, {}, "o1"],
  ["nobody", {}, { metadata: {}, prompt_cache_key: "" }, undefined],
  ["nonsense", { "session-id": "" }, { metadata: { user_id: 7 }, prompt_cache_key: {} }, undefined],
  ["no body", {}, null, undefined],
  ["a metadata that is none", {}, { metadata: "x" }, undefined],
  ["a very long key", {}, { prompt_cache_key: longer }, longer.slice(0, 512)],
])("%s", (_, headers, body, want) => expect(affinityOf(headers, body)).toBe(want));

test.each(["", "plain", "Grüße 🦊\n", "x".repeat(100_000)])("sealed thoughts come back", (text) => {
  expect(unseal(seal(text))).toBe(text === "" ? undefined : text);
  expect(seal(text)).toMatch(/^[\w.-]+$/);
});
test.each([undefined, null, "", "EqQBCg", "cortex1", "cortex1."])("%o was sealed elsewhere", (sealed) => {
  expect(unseal(sealed)).toBeUndefined();
});

test.each<[string, Json, boolean]>([
  ["/v1/messages", {}, true],
  ["/v1/messages?beta=true", {}, true],
  ["/v1/messages/count_tokens", {}, true],
  ["/v1/messages/nothing", {}, true],
  ["/v1/messagesx", {}, false],
  ["/v1/models", {}, false],
  ["/v1/models", { "anthropic-version": "2023-06-01" }, true],
])("%s with %o speaks Anthropic: %o", (url, headers, want) =>
  expect(speaksAnthropic(url, headers)).toBe(want),
);

const model = (id: string, more: Partial<ModelItem> = {}): ModelItem => ({
  ...{
    id,
    object: "model",
    created: 0,
    owned_by: "cortex",
    loaded: true,
    locations: [],
    feasible_on: [],
    capabilities: ["text"],
  },
  ...{ tool_call: true, reasoning: true, aliases: [], ...more },
});
const models = ["a", "b", "c", "d", "e"].map((id) => model(id));

test.each<[Json, string, boolean]>([
  [{}, "abcde", false],
  [{ limit: "2" }, "ab", true],
  [{ limit: "2", after_id: "b" }, "cd", true],
  [{ limit: "2", after_id: "d" }, "e", false],
  [{ limit: "2", before_id: "d" }, "bc", true],
  [{ limit: "9", before_id: "d" }, "abc", false],
  [{ after_id: "e" }, "", false],
])("a page of models: %o", (query, ids, has_more) => {
  const page = anthropicModels(models, "2026-01-02T03:04:05.000Z", query) as Json;
  expect([page.data.map(({ id }: Json) => id).join(""), page.has_more]).toEqual([ids, has_more]);
  expect([page.first_id, page.last_id]).toEqual([ids[0] ?? null, ids.at(-1) ?? null]);
});

test.each(["0", "1001", "x", "1.5"])("a limit of %s is refused", (limit) => {
  expect(() => anthropicModels(models, "", { limit })).toThrow(
    expect.objectContaining({ param: "limit" }) as Error,
  );
});

test("a model has the fields of the SDK's type", () => {
  const limit = { max_input_tokens: 4096, max_output_tokens: 1024 };
  const info = anthropicModel(
    model("m", { ...limit, capabilities: ["text", "vision"], reasoning: false }),
    "t",
  ) as Json;
  const fields: Record<keyof Anthropic.ModelInfo, true> = {
    ...{ id: true, capabilities: true, created_at: true, deprecated_at: true, display_name: true },
    ...{
      lifecycle: true,
      line: true,
      max_input_tokens: true,
      max_tokens: true,
      retires_at: true,
      type: true,
    },
  };
  expect(Object.keys(info).sort()).toEqual(Object.keys(fields).sort());
  expect(info).toMatchObject({
    type: "model",
    id: "m",
    max_input_tokens: 4096,
    max_tokens: 1024,
    created_at: "t",
  });
  const supported = (able: Json) => Object.keys(able).filter((name) => able[name].supported);
  expect(supported(info.capabilities).sort()).toEqual(["image_input", "structured_outputs"]);
  const embeddings = anthropicModel(model("e", { capabilities: ["embeddings"], reasoning: false }), "t");
  expect(supported((embeddings as Json).capabilities)).toEqual([]);
});
