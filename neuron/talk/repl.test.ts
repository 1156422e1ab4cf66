// The chat against a daemon over a fake engine: what is sent, what is shown, and what stays.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import type { ChatRequest } from "../../engine/serve/types.ts";
import { startDaemon } from "../daemon.fixture.ts";
import type { Daemon } from "../daemon.fixture.ts";
import { content, finished, reasoning, started } from "../fake-engine.fixture.ts";
import { Conversation } from "./conversation.ts";
import { findPlace } from "./place.ts";
import { converse } from "./repl.ts";

const folder = mkdtempSync(join(tmpdir(), "neuron-talk-"));
afterAll(() => rmSync(folder, { recursive: true }));
const picture = join(folder, "dot one.png");
writeFileSync(
  picture,
  Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  ),
);

let daemon: Daemon;
beforeEach(async () => {
  daemon = await startDaemon();
});
afterEach(() => daemon.close());

/** Types the lines, one after the other, and gives what was shown; a number stops the answer after that many ms. */
async function typed(lines: string[], stopAfterMs?: number): Promise<{ shown: string; talk: Conversation }> {
  const talk = new Conversation("org/fake");
  const client = { endpoint: daemon.url };
  let shown = "";
  const left = [...lines];
  const terminal = {
    ask: async (prompt: string) => {
      shown += `${prompt}${left[0] ?? ""}\n`;
      return left.shift();
    },
    write: (text: string) => void (shown += text),
    interruptible: () => {
      const signal =
        stopAfterMs === undefined ? new AbortController().signal : AbortSignal.timeout(stopAfterMs);
      return { signal, done: () => {} };
    },
  };
  await converse({ client, talk, terminal });
  return { shown, talk };
}

const asked = () => daemon.model.asked.map((request) => (request as ChatRequest).messages);

test("an answer streams, its figures follow, and the next turn carries both", async () => {
  const { shown } = await typed(["Hi", "And?"]);
  expect(shown).toMatch(
    />>> Hi\nHello world\n11 tokens in, 7 out · [\d.]+ tokens\/s · first after \d\.\d\d s\n>>> And\?\n/,
  );
  expect(asked()[1]).toMatchObject([
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello world" },
    { role: "user", content: "And?" },
  ]);
});

test("thoughts stand apart from the answer, and are not sent back", async () => {
  daemon.model.script = [started, reasoning("Hm."), content("Yes."), finished("length")];
  const { shown, talk } = await typed(["Well?"]);
  expect(shown).toContain("Hm.\n\nYes.\n");
  expect(shown).toContain("cut at its limit of tokens");
  expect(talk.messages.at(-1)).toEqual({ role: "assistant", content: "Yes." });
});

test("several lines between quotes are one message", async () => {
  await typed(['"""one', "", 'two"""']);
  expect(asked()[0]).toMatchObject([{ role: "user", content: "one\n\ntwo" }]);
});

test("/system, /set and /clear reach the model", async () => {
  await typed(["/system Be brief.", "Hi", "/set temperature 0.25", "/set seed=7", "/clear", "Again"]);
  expect(asked()[1]).toMatchObject([
    { role: "system", content: "Be brief." },
    { role: "user", content: "Again" },
  ]);
  expect((daemon.model.asked[1] as ChatRequest).options).toMatchObject({ temperature: 0.25, seed: 7 });
});

test("/image attaches to the next message only", async () => {
  const { shown, talk } = await typed([`/image '${picture}'`, "What is it?", "Really?"]);
  expect(shown).toContain("with the next message: dot one.png");
  // The fake model has no eyes: its daemon says so, and the question is taken back, picture and all.
  expect(shown).toMatch(/error: messages\.0\.content\.0: this model reads text only/);
  expect(talk.messages).toMatchObject([{ content: "Really?" }, { role: "assistant" }]);
});

test("/retry asks again without the answer that was there", async () => {
  await typed(["/retry", "Hi", "/retry"]);
  expect(asked()).toEqual([asked()[0], asked()[0]]);
});

test("a stopped answer keeps what came, and the chat goes on", async () => {
  daemon.model.script = [started, content("Hel"), new Promise(() => undefined)];
  const { shown, talk } = await typed(["Hi"], 300);
  expect(shown).toContain("Hel\nstopped\n");
  expect(talk.messages.at(-1)).toEqual({ role: "assistant", content: "Hel" });
});

test("/save and /load", async () => {
  const file = join(folder, "talk.json");
  await typed(["Hi", `/save ${file}`]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ messages: [{ content: "Hi" }, {}] });
  const { talk } = await typed([`/load ${file}`]);
  expect(talk.messages.length).toBe(2);
});

test.each([
  ["/dance", "there is no /dance; /help lists what there is"],
  ["/image no.png", "cannot read no.png: there is no such file"],
  ["/image package.json", "is no picture of a kind that models take"],
  ["/load package.json", "is no conversation"],
  ["/model other", "there is no other; there are org/fake"],
  ["/set colour red", 'there is no setting "colour"'],
  ["/constructor", "there is no /constructor"],
])("%s: says why, and goes on", async (line, words) => {
  const { shown } = await typed([line, "/bye", "never"]);
  expect(shown).toContain(words);
  expect(shown).not.toContain("never");
});

test("/help names every command", async () => {
  const { shown } = await typed(["/help"]);
  for (const name of ["image", "system", "set", "model", "retry", "clear", "save", "load", "bye"])
    expect(shown).toContain(`/${name} `);
});

test("the place: what runs here and has the model, else one of its own", async () => {
  const own = { url: "http://own", model: "mine", close: async () => {} };
  const started: string[] = [];
  const start = async (model: string) => (started.push(model), own);
  const find = (model: string | undefined, near: string[]) =>
    findPlace({ endpoint: undefined, key: undefined, model }, start, near);
  expect(await find("org/fake", ["http://127.0.0.1:9", daemon.url])).toMatchObject({
    client: { endpoint: daemon.url },
    model: "org/fake",
  });
  expect(await find(undefined, [daemon.url])).toMatchObject({ model: "org/fake" });
  expect(await find("other", [daemon.url])).toMatchObject({
    client: { endpoint: "http://own" },
    model: "mine",
  });
  expect(await find(undefined, [])).toMatchObject({ model: "mine" });
  expect(started).toEqual(["other", "demo"]);
  const told = { endpoint: `${daemon.url}/v1/`, key: undefined, model: undefined };
  expect(await findPlace(told, start)).toMatchObject({ model: "org/fake" });
  await expect(findPlace({ ...told, endpoint: "http://127.0.0.1:9" }, start)).rejects.toThrow(
    /nobody answers on http:\/\/127.0.0.1:9 \(ECONNREFUSED\); is it running\?/,
  );
});
