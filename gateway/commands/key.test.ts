import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { cortex } from "../fixtures/command.fixture.ts";
import { chat, keyFor, openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import type { Key } from "../keys/keys.ts";
import { KeyRing } from "../keys/keys.ts";
import { changeKeys, readKeys } from "../keys/keys-file.ts";

function openFolder(toml = "") {
  const folder = mkdtempSync(join(tmpdir(), "cortex-key-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const config = join(folder, "cortex.toml");
  writeFileSync(config, toml);
  return { folder, config, file: join(folder, "keys.json") };
}

test("add, ls, revoke: the key is told once, its hash alone is kept, for its owner's eyes", async () => {
  const { config, file } = openFolder();
  const limits = [
    "--model",
    "demo",
    "small",
    "--requests",
    "60",
    "--tokens",
    "5000",
    "--per",
    "12h",
    "--concurrency",
    "4",
  ];
  const added = await cortex("key", "add", "alice", "--config", config, ...limits);
  expect(added.code).toBe(0);
  const text = added.out.trim();
  expect(text).toMatch(/^ctx-[0-9a-f]{12}-[\w-]{43}$/);
  expect(added.err).toMatch(/it is not shown again\nkeys are not asked for yet/);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, "utf8")).not.toContain(text.slice(17));
  const [key] = readKeys(file) as [Key];
  expect(new KeyRing([key]).find(text)).toEqual(key);
  expect(key).toMatchObject({
    ...{ name: "alice", admin: false, models: ["demo", "small"], requests_per_min: 60 },
    ...{ tokens: 5000, window_s: 43_200, concurrency: 4 },
  });
  expect((await cortex("key", "add", "root", "--admin", "-c", config)).code).toBe(0);
  const listed = await cortex("key", "ls", "-c", config);
  expect(listed.out).toMatch(
    /^alice +[0-9a-f]{12} +20\d\d-\d\d-\d\d +demo, small +60\/min, 5000 tokens\/12h, 4 at once$/m,
  );
  expect(listed.out).toMatch(/^root \(admin\) +.* +all +-$/m);
  expect(listed.out + JSON.stringify(await cortex("key", "ls", "--json", "-c", config))).not.toContain(
    key.hash,
  );
  expect(await cortex("key", "revoke", key.id, "-c", config)).toMatchObject({
    code: 0,
    out: `key ${key.id} of alice is revoked\n`,
  });
  expect((await cortex("key", "revoke", "root", "-c", config)).code).toBe(0);
  expect((await cortex("key", "ls", "-c", config)).out).toBe("no keys\n");
});

test.each<[string, string[], number, RegExp]>([
  ["a name twice", ["add", "alice"], 1, /^cortex: there is a key called alice;/],
  ["a name that would forge a log line", ["add", "a b"], 2, /^error: "a b": expected up to 64 letters/],
  ["the name of those without a key", ["add", "anonymous"], 2, /stands for callers without a key/],
  ["nobody", ["revoke", "bob"], 1, /^cortex: no key is called bob; `cortex key ls` lists them/],
  ["a time without tokens", ["add", "bob", "--per", "1h"], 2, /--per is of use only with --tokens/],
  ["a time of no unit", ["add", "bob", "--tokens", "5", "--per", "60"], 2, /Expected 30m, 12h or 1d\./],
  ["half a request", ["add", "bob", "--requests", "0.5"], 2, /Expected a whole number from 1\./],
])("%s: no change, and why", async (_, args, code, message) => {
  const { config, file } = openFolder();
  await cortex("key", "add", "alice", "-c", config);
  const before = readFileSync(file, "utf8");
  const ran = await cortex("key", ...args, "-c", config);
  expect([ran.code, ran.err]).toEqual([code, expect.stringMatching(message)]);
  expect(readFileSync(file, "utf8")).toBe(before);
});

test("the file's problems are told by path; two writers do not lose a key", async () => {
  const { config, file } = openFolder('[auth]\nmode = "required"\nkeys_file = "keys.json"\n');
  expect((await cortex("key", "add", "alice", "-c", config)).err).not.toMatch(/not asked for/);
  const [alice] = readKeys(file) as [Key];
  const broken = (keys: unknown[]) => writeFileSync(file, JSON.stringify({ keys }));
  broken([{ ...alice, requests: 5 }]);
  expect((await cortex("key", "ls", "-c", config)).err).toMatch(
    /^cortex: .*keys\.json: keys\.0\.requests: unknown key\n$/,
  );
  broken([alice, { ...alice, id: "0123456789ab" }]);
  expect((await cortex("key", "ls", "-c", config)).err).toMatch(/keys: two have the same name/);
  broken([{ ...alice, tokens: 5 }]);
  expect((await cortex("key", "ls", "-c", config)).err).toMatch(/tokens and window_s go together/);
  broken([alice]);
  changeKeys(file, (keys) => {
    expect(() => changeKeys(file, (more) => ({ keys: more, result: undefined }))).toThrow(
      /another change is under way/,
    );
    return { keys: [...keys, keyFor("bob").key], result: undefined };
  });
  expect(readKeys(file).map(({ name }) => name)).toEqual(["alice", "bob"]);
  expect(() =>
    changeKeys(file, () => {
      throw new Error("no");
    }),
  ).toThrow("no");
  expect((await cortex("key", "add", "carol", "-c", config)).code).toBe(0);
});

test("a key that is added works at once, usage and drain are asked with one, and a revoked one is refused", async () => {
  const { config, file } = openFolder();
  const root = (await cortex("key", "add", "root", "--admin", "-c", config)).out.trim();
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({
    neurons: { "a b": neuron },
    cortex: { auth: { mode: "required" } },
    keysFile: file,
  });
  const alice = (await cortex("key", "add", "alice", "-c", config)).out.trim();
  const ask = async () => (await post(gateway, chat, { headers: { "x-api-key": alice } })).status;
  while ((await ask()) !== 200) await new Promise((wake) => setTimeout(wake, 20));
  await until(() => gateway.logs.some(({ event, status }) => event === "request" && status === 200));
  const at = ["--endpoint", gateway.url, "--key", root];
  const usage = await cortex("key", "usage", ...at, "--days", "2");
  expect(usage.out).toMatch(/^NAME +REQUESTS +ERRORS +PROMPT +CACHED +COMPLETION$/m);
  expect(usage.out).toMatch(/^alice +1 +0 +11 +0 +3$/m);
  const mine = await cortex("key", "usage", "--endpoint", gateway.url, "--key", alice, "--json");
  expect((JSON.parse(mine.out) as { name: string }[]).map(({ name }) => name)).toEqual(["alice"]);
  expect(await cortex("drain", "a b", ...at, "--wait")).toMatchObject({
    code: 0,
    out: "a b is drained; nothing runs there\n",
  });
  expect(await ask()).toBe(503);
  expect(await cortex("drain", "a b", ...at, "--undo")).toMatchObject({ code: 0, out: "a b serves again\n" });
  expect(await ask()).toBe(200);
  const refused = await cortex("drain", "a b", "--endpoint", gateway.url, "--key", alice);
  expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/needs an admin's API key/)]);
  await cortex("key", "revoke", "alice", "-c", config);
  while ((await ask()) !== 401) await new Promise((wake) => setTimeout(wake, 20));
});

test("drain --wait waits, and says when it waited in vain", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = () => {}; // for ever
  const gateway = await openGateway({ neurons: { a: neuron } });
  const leaving = new AbortController();
  const running = post(gateway, chat, { signal: leaving.signal }).catch(() => {});
  await until(() => neuron.requests.length === 1);
  const at = ["--endpoint", gateway.url];
  expect(await cortex("drain", "a", ...at, "--wait", "0.6")).toMatchObject({
    code: 1,
    out: "a is drained; 1 still run there\n",
  });
  const waiting = cortex("drain", "a", ...at, "--wait", "20", "--json");
  leaving.abort();
  expect(await waiting).toMatchObject({ code: 0, out: '{"name":"a","draining":true,"running":0}\n' });
  await running;
});
