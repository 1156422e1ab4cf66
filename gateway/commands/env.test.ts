// `cortex env` against a running gateway.

import { expect, test } from "vitest";
import { cortex } from "../fixtures/command.fixture.ts";
import { openGateway, openNeuron } from "../fixtures/gateway.fixture.ts";

const env = (...args: string[]) => cortex("env", ...args);

async function open(): Promise<string> {
  const neuron = await openNeuron("org/loaded");
  neuron.models.set("org/idle", { status: "unloaded" });
  return (await openGateway({ neurons: { a: neuron } })).url;
}

test("variables of the first loaded model, with its limits", async () => {
  const url = await open();
  const { code, out } = await env("claude", "-e", url, "--key", "se cret");
  expect(code).toBe(0);
  expect(out.split("\n")).toEqual(
    expect.arrayContaining([
      ...[`export ANTHROPIC_BASE_URL=${url}`, "export ANTHROPIC_AUTH_TOKEN='se cret'"],
      ...["export ANTHROPIC_MODEL=org/loaded", "export CLAUDE_CODE_MAX_CONTEXT_TOKENS=4096"],
    ]),
  );
});

test("a model that makes embeddings is nothing for a client to talk to, unless it is named", async () => {
  const neuron = await openNeuron("a/embeds", "b/talks");
  neuron.models.set("a/embeds", { status: "loaded", capabilities: ["embeddings"] });
  const { url } = await openGateway({ neurons: { a: neuron } });
  expect((await env("claude", "-e", url)).out).toContain("export ANTHROPIC_MODEL=b/talks\n");
  expect((await env("claude", "-e", url, "-m", "a/embeds")).out).toContain("ANTHROPIC_MODEL=a/embeds\n");
});

test("files, in the dialect that was asked for, as JSON", async () => {
  const url = await open();
  const { code, out } = await env("opencode", "-e", `${url}/v1`, "--dialect", "messages", "--json");
  const { files } = JSON.parse(out) as { files: { path: string; text: string }[] };
  expect([code, files[0]!.path]).toEqual([0, "~/.config/opencode/opencode.json"]);
  expect(JSON.parse(files[0]!.text)).toMatchObject({
    ...{ provider: { cortex: { npm: "@ai-sdk/anthropic", options: { baseURL: `${url}/v1` } } } },
    model: "cortex/org/loaded",
  });
});

test("a model that is not loaded: its context is a guess, and said to be one", async () => {
  const { code, out, err } = await env("codex", "-e", await open(), "--model", "org/idle");
  expect([code, out]).toEqual([0, expect.stringContaining("model_context_window = 32768")]);
  expect(err).toContain("org/idle is not loaded");
});

test.each([
  [["codex", "--model", "nobody"], 1, "there is no model nobody; known: org/idle, org/loaded"],
  [["codex", "--dialect", "chat"], 2, "Codex speaks responses, not chat"],
  [["emacs"], 2, "Allowed choices are claude, codex"],
])("cortex env %j: %i", async (args, want, words) => {
  const { code, err } = await env(...args, "-e", await open());
  expect([code, err]).toEqual([want, expect.stringContaining(words)]);
});
