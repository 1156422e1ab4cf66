// docs/clients.md, followed to the letter: its programs are run as they stand but for the address, against a gateway in
// front of a scripted model. Its settings are tried by agents.client.ts, which takes them from where the page does.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { clients, settingsText } from "../gateway/commands/client-settings.ts";
import { openGateway, openNeuron } from "../gateway/fixtures/gateway.fixture.ts";
import { expectedOf } from "./cases.ts";
import { scripted } from "./scripted-neuron.ts";

const root = join(import.meta.dirname, "..");
const page = readFileSync(join(root, "docs/clients.md"), "utf8");

function programs(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, text]) => text!);
}

async function address(): Promise<string> {
  const neuron = await openNeuron("demo");
  neuron.answer = scripted;
  return (await openGateway({ neurons: { a: neuron } })).url;
}

/** Beside our packages, for programs find theirs from where they lie. */
async function outputOf(program: string, name: string, command: string): Promise<string> {
  const file = join(root, ".cache", `${process.pid}-${name}`);
  mkdirSync(join(root, ".cache"), { recursive: true });
  writeFileSync(file, program);
  onTestFinished(() => rmSync(file));
  const child = spawn(command, [file], { cwd: root });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (out += String(text)));
  await new Promise((resolve) => child.once("close", resolve));
  return out.trim();
}

test.each(programs("js").map((text, i) => [i, text] as const))("program %i", async (i, text) => {
  // The AI SDK is here under a name with its version in it.
  const program = text
    .replaceAll("http://127.0.0.1:31313", await address())
    .replace('from "ai"', 'from "ai-7"');
  expect(await outputOf(program, `docs-${i}.mjs`, process.execPath)).toBe(expectedOf("text"));
});

const python = spawnSync("python3", ["-c", "import openai"]).status === 0;

test.skipIf(!python).each(programs("python"))("in Python: %s", async (text) => {
  const program = text.replaceAll("http://127.0.0.1:31313", await address());
  expect(await outputOf(program, "docs.py", "python3")).toBe(expectedOf("text"));
});

test("there are programs and settings on the page", () => {
  expect([programs("js").length, programs("python").length]).toEqual([3, 1]);
  for (const { title } of Object.values(clients)) expect(page).toContain(`## ${title}`);
});

test("what a shell reads is quoted", () => {
  const env = { KEY: "it's $HOME", MODEL: "org/name:q4" };
  const text = settingsText({ env, files: [], commands: [] });
  expect(text).toBe(`export KEY='it'\\''s $HOME'\nexport MODEL=org/name:q4`);
  const { stdout } = spawnSync("/bin/sh", ["-c", `${text}\nprintf '%s|%s' "$KEY" "$MODEL"`]);
  expect(String(stdout)).toBe("it's $HOME|org/name:q4");
});
