// Unmodified agents, headless, as `cortex env` sets them up, against the gateway in front of a scripted model: the exit
// code, the words that a person would read, and exactly so many requests as the case takes, none of them refused.

import { copyFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { clients } from "../gateway/commands/client-settings.ts";
import type { Settings, Target } from "../gateway/commands/client-settings.ts";
import type { Json } from "../gateway/dialects/streams.fixture.ts";
import { openGateway, openNeuron } from "../gateway/fixtures/gateway.fixture.ts";
import type { CaseName } from "./cases.ts";
import { caseNames, citySchema, expectedOf, promptOf, thoughts } from "./cases.ts";
import type { Driver } from "./drivers.ts";
import { drivers } from "./drivers.ts";
import { binary, installClients } from "./installed.ts";
import type { Recorder } from "./recorder.ts";
import { openRecorder, openTrap } from "./recorder.ts";
import { keepRecording } from "./recordings.ts";
import type { Home } from "./run.ts";
import { openHome, run, writeSettings } from "./run.ts";
import { scripted } from "./scripted-neuron.ts";

const model = "demo";
const limits = { context: 131072, output: 32000 };
const timeoutMs = 120_000; // on a machine that does much else
const png = join(import.meta.dirname, "../test-fixtures/preproc/images/1_200x120_RGB.png");

beforeAll(installClients);

describe.each(Object.entries(drivers))("%s", (agent, driver) => {
  for (const name of caseNames) {
    const takes = driver.requests[name];
    if (typeof takes === "string") test.skip(`${name}: ${takes}`, () => {});
    else test(name, { timeout: 150_000 }, () => converse(agent, driver, name, takes));
  }
});

async function converse(agent: string, driver: Driver, name: CaseName, takes: number): Promise<void> {
  const { neuron, recorder, trap, home } = await openStage();
  const settings = clients[driver.client]!.settings(target(recorder.url, driver));
  writeSettings(home, settings, driver.quiet);
  const options = { home, env: environment(settings, driver), trap: trap.url, timeoutMs };
  for (const command of settings.commands.slice(0, -1))
    expect(await run("/bin/sh", ["-c", command], options)).toMatchObject({ exitCode: 0 });
  const asked = { name, model, prompt: promptOf(name, home.picture), picture: home.picture, work: home.work };
  const ran = await run(binary(driver.binary), driver.args(asked), options);
  const refused = recorder.requests.filter(({ status }) => status >= 400);
  expect(refused.map(({ method, path, answer }) => `${method} ${path} ${answer}`)).toEqual([]);
  expect(ran).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(expectedOf(name)) });
  expect(answersAskedOf(recorder)).toHaveLength(takes);
  expect(trap.caught.filter((address) => !driver.knocks?.test(address))).toEqual([]);
  if (name === "thinking") expect(sendsThoughtsBack(neuron.requests)).toBe(driver.forgets !== true);
  keepRecording(agent, name, recorder.requests);
}

async function openStage() {
  const neuron = await openNeuron(model);
  neuron.models.set(model, {
    status: "loaded",
    capabilities: ["text", "vision"],
    limit: limits,
    reasoning: true,
  });
  neuron.answer = scripted;
  const gateway = await openGateway({ neurons: { a: neuron } });
  const recorder = await openRecorder(gateway.url);
  const trap = await openTrap();
  const home = furnish(openHome());
  onTestFinished(async () => {
    await home.close();
    await Promise.all([recorder.close(), trap.close()]);
  });
  return { neuron, recorder, trap, home };
}

function furnish(home: Home): Home & { picture: string } {
  const picture = join(home.work, "picture.png");
  copyFileSync(png, picture);
  writeFileSync(join(home.work, "schema.json"), JSON.stringify(citySchema));
  return { ...home, picture };
}

function target(url: string, { dialect }: Driver): Target {
  return { url, model, key: "a key", ...limits, vision: true, reasoning: true, dialect };
}

function environment(settings: Settings, driver: Driver): Record<string, string> {
  const path = [dirname(binary("x")), dirname(process.execPath), process.env.PATH].join(delimiter);
  return { PATH: path, ...settings.env, ...driver.env };
}

function answersAskedOf({ requests }: Recorder) {
  return requests.filter(
    ({ method, path }) => method === "POST" && /\/(chat\/completions|responses|messages)(\?|$)/.test(path),
  );
}

function sendsThoughtsBack(requests: readonly { body: string }[]): boolean {
  const last = JSON.parse(requests.at(-1)!.body) as Json;
  return (last.messages as Json[]).some(({ reasoning_content }) => reasoning_content === thoughts[0]);
}
