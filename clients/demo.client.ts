// The clients with the bundled model on a software GPU: a plain turn, for those whose first prompt can be made to fit
// into its 2048 tokens. What so small a model says is its own affair; that there is an answer, whole and in order, ours.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { clients } from "../gateway/commands/client-settings.ts";
import type { MockNeuron } from "../gateway/fixtures/mock-neuron.fixture.ts";
import { openGateway, until } from "../gateway/fixtures/gateway.fixture.ts";
import { drivers } from "./drivers.ts";
import { binary, installClients } from "./installed.ts";
import { openRecorder, openTrap } from "./recorder.ts";
import { openHome, run, writeSettings } from "./run.ts";

const root = join(import.meta.dirname, "..");
const question = "What is the capital of France?";
const answer = "The capital of France is Paris.";
let neuron: ChildProcess;
let address: string;

beforeAll(async () => {
  installClients();
  const hook = join(root, "test-fixtures/typescript.mjs");
  const args = ["--import", hook, join(root, "neuron/main.ts"), "--model", "demo", "--port", "0"];
  neuron = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  address = await new Promise<string>((resolve, reject) => {
    neuron.stderr!.on("data", (data) => {
      const ready = /^ready: (http:\S+)\/v1 serves demo on /m.exec((log += String(data)));
      if (ready) resolve(ready[1]!);
    });
    neuron.once("close", (code) => reject(new Error(`the neuron ended with ${code}: ${log}`)));
  });
}, 240_000);

afterAll(async () => {
  const closed = new Promise((resolve) => neuron.once("close", resolve));
  neuron.kill("SIGTERM");
  await closed;
});

async function openFleet() {
  const gateway = await openGateway({ neurons: { a: { url: address } as MockNeuron } });
  await until(() => gateway.gateway.fleet.neurons[0]!.models.some(({ status }) => status === "loaded"));
  return gateway;
}

test("the SDKs' three dialects say the same", { timeout: 120_000 }, async () => {
  const { url } = await openFleet();
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const anthropic = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
  const messages = [{ role: "user" as const, content: question }];
  const chat = await openai.chat.completions.create({ model: "demo", messages });
  const response = await openai.responses.create({
    model: "demo",
    input: question,
    reasoning: { effort: "none" },
  });
  const message = await anthropic.messages.stream({ model: "demo", max_tokens: 64, messages }).finalText();
  expect([chat.choices[0]!.message.content, response.output_text, message]).toEqual([answer, answer, answer]);
  const begun = { role: "assistant" as const, content: "The capital of France is" };
  const rest = await anthropic.messages.create({
    model: "demo",
    max_tokens: 64,
    messages: [...messages, begun],
  });
  expect(rest.content).toEqual([{ type: "text", text: " Paris." }]);
});

const small = ["pi by chat", "pi by responses", "pi by messages"];
for (const agent of Object.keys(drivers))
  if (!small.includes(agent))
    test.skip(`${agent}: its first prompt is longer than the model's context`, () => {});

test.each(small)("%s", { timeout: 300_000 }, async (agent) => {
  const driver = drivers[agent]!;
  const gateway = await openFleet();
  const [recorder, trap, home] = [await openRecorder(gateway.url), await openTrap(), openHome()];
  onTestFinished(async () => {
    await home.close();
    await Promise.all([recorder.close(), trap.close()]);
  });
  const settings = clients[driver.client]!.settings({
    // More than there is: pi would shorten a conversation that fills a third of 2048 tokens.
    ...{ url: recorder.url, model: "demo", key: "none", context: 32768, output: 64 },
    ...{ vision: true, reasoning: false, dialect: driver.dialect },
  });
  writeSettings(home, settings, driver.quiet);
  const args = ["-p", "--no-session", "--no-tools", "--no-context-files", "--system-prompt", "Be brief."];
  const options = { home, env: { ...settings.env, ...driver.env }, trap: trap.url, timeoutMs: 240_000 };
  const ran = await run(
    binary(driver.binary),
    [...args, "--provider", "cortex", "--model", "demo", question],
    options,
  );
  expect(ran).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/\w/) });
  expect(recorder.requests.map(({ status }) => status)).toEqual([200]);
});
