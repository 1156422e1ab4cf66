import { expect, onTestFinished, test } from "vitest";
import { amend } from "../store/amend.ts";
import type { GatewayError } from "../errors.ts";
import {
  chat,
  errorOf,
  keyFor,
  openGateway,
  openNeuron,
  post,
  samples,
  until,
} from "../fixtures/gateway.fixture.ts";
import type { Key } from "./keys.ts";
import type { Stay } from "./ledger.ts";
import { accountPrefix, Ledger } from "./ledger.ts";
import type { Account } from "./limits.ts";
import { createLog } from "../telemetry/log.ts";
import {
  chatAnswer,
  delta,
  done,
  finish,
  json,
  openStream,
  role,
  usageChunk,
} from "../fixtures/mock-neuron.fixture.ts";
import type { Store } from "../store/store.ts";
import { MemoryStore } from "../store/store.ts";
import { Usage } from "./usage.ts";

/** A store across a network: every call takes a moment, and may fail. */
function remote(): { store: Store; fail: (failing: boolean) => void; held: MemoryStore } {
  const held = new MemoryStore();
  let failing = false;
  const slow = async <T>(answer: () => Promise<T>): Promise<T> => {
    await new Promise((wake) => setTimeout(wake, Math.random() * 2));
    if (failing) throw new Error("store_unavailable");
    return answer();
  };
  const store = {
    get: (key: string) => slow(() => held.get(key)),
    create: (...args: Parameters<Store["create"]>) => slow(() => held.create(...args)),
    compareAndSet: (...args: Parameters<Store["compareAndSet"]>) => slow(() => held.compareAndSet(...args)),
  } as unknown as Store;
  return { store, fail: (value) => (failing = value), held };
}

function openLog() {
  const lines: string[] = [];
  return { lines, log: createLog({ level: "info", format: "text", write: (line) => lines.push(line) }) };
}

function openLedgers(count: number) {
  const shared = remote();
  const { log, lines } = openLog();
  const ledgers = Array.from(
    { length: count },
    (_, i) => new Ledger({ store: shared.store, log, gateway: `g${i}` }),
  );
  onTestFinished(() => Promise.all(ledgers.map((ledger) => ledger.close())).then(() => undefined));
  return { ...shared, ledgers, lines };
}

async function accountOf({ id }: Key, store: Store): Promise<Account> {
  return JSON.parse((await store.get(accountPrefix + id))!.value) as Account;
}

test("three gateways at once never let in more than the limit, and are empty again when all have left", async () => {
  const { key } = keyFor("alice", { concurrency: 7, tokens: 1_000_000, window_s: 3600 });
  const { ledgers, held } = openLedgers(3);
  let [inside, most, refused, left] = [0, 0, 0, 0];
  const visit = async (i: number) => {
    let stay: Stay;
    try {
      stay = await ledgers[i % 3]!.enter(key);
    } catch (error) {
      expect((error as GatewayError).code).toBe("rate_limit_exceeded");
      refused++;
      return;
    }
    most = Math.max(most, ++inside);
    await new Promise((wake) => setTimeout(wake, Math.random() * 20));
    inside--;
    left++;
    stay.leave(11);
    stay.leave(11); // a second time is no second charge
  };
  for (let wave = 0; wave < 6; wave++)
    await Promise.all(Array.from({ length: 15 }, (_, i) => visit(wave + i)));
  await Promise.all(ledgers.map((ledger) => ledger.close()));
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(7);
  expect(refused).toBeGreaterThan(0);
  expect(refused + left).toBe(90);
  const account = await accountOf(key, held);
  expect([account.running, account.window.used]).toEqual([{}, 11 * left]);
});

test("without compare-and-set the same visits would lose charges: the test above can fail", async () => {
  const { store, held } = remote();
  const put = async (key: string, value: string) => {
    await store.get(key); // as far away as all the rest
    return held.put(key, value);
  };
  const careless = { ...store, compareAndSet: put } as Store;
  const add = () =>
    amend(careless, "n", (value) => ({ value: String(Number(value ?? 0) + 1), result: undefined }), {});
  await Promise.all(Array.from({ length: 20 }, add));
  expect(Number((await held.get("n"))!.value)).toBeLessThan(20);
});

test("while the store is away a gateway holds limits by itself, and says so once", async () => {
  const { key } = keyFor("alice", { concurrency: 2 });
  const { ledgers, lines, fail } = openLedgers(1);
  const first = await ledgers[0]!.enter(key);
  fail(true);
  const second = await ledgers[0]!.enter(key);
  await expect(ledgers[0]!.enter(key)).rejects.toThrow(/2 requests at the same time/);
  first.leave(0);
  second.leave(0);
  (await ledgers[0]!.enter(key)).leave(0);
  expect(lines.filter((line) => line.includes("limits hold for this gateway alone")).length).toBe(1);
});

test("usage is added up, written together by several gateways, and kept while the store is away", async () => {
  const { store, fail } = remote();
  const { log, lines } = openLog();
  const now = Date.UTC(2026, 10, 20, 12);
  const books = [1, 2].map(() => new Usage({ store, log, now: () => now, flushMs: 1e6 }));
  const used = { requests: 1, errors: 0, prompt_tokens: 7, completion_tokens: 3, cached_tokens: 2 };
  for (const book of books) for (let i = 0; i < 5; i++) book.add("k", used);
  fail(true);
  await books[0]!.flush();
  expect(lines.join()).toContain("usage not written");
  books[0]!.add("k", { ...used, errors: 1 });
  fail(false);
  await Promise.all(books.map((book) => book.close()));
  expect(await books[1]!.of("k", 2)).toEqual({
    ...{
      "2026-11-20": { requests: 11, errors: 1, prompt_tokens: 77, completion_tokens: 33, cached_tokens: 22 },
    },
  });
});

const required = { auth: { mode: "required" } };
const anthropic = { path: "/v1/messages" };

test("requests a minute: a 429 in the caller's dialect, with Retry-After, and nothing reaches the neuron", async () => {
  const alice = keyFor("alice", { requests_per_min: 2 });
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: required, keys: [alice.key] });
  const { headers } = alice;
  for (let i = 0; i < 2; i++) expect((await post(gateway, chat, { headers })).status).toBe(200);
  const refused = await post(gateway, chat, { headers });
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "30"]);
  const message = "Rate limit reached: this API key may have 2 requests a minute. Please try again in 30s.";
  expect(await errorOf(refused)).toEqual({
    message,
    type: "rate_limit_error",
    code: "rate_limit_exceeded",
    param: null,
  });
  const other = await post(gateway, { ...chat, max_tokens: 3, stream: true }, { ...anthropic, headers });
  expect([other.status, other.headers.get("retry-after")]).toEqual([429, "30"]);
  expect(await other.json()).toMatchObject({ error: { type: "rate_limit_error", message } });
  const third = await post(gateway, { model: "demo", input: "x" }, { path: "/v1/responses", headers });
  expect([third.status, (await errorOf(third)).code]).toEqual([429, "rate_limit_exceeded"]);
  expect(neuron.requests.length).toBe(2);
});

test("tokens in a window: charged as the neuron counts, refused when they are gone, until the window is over", async () => {
  const alice = keyFor("alice", { tokens: 30, window_s: 3600 });
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) => json(response, 200, chatAnswer("hi", 9)); // and 11 of the prompt
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: required, keys: [alice.key] });
  const { headers } = alice;
  for (let i = 0; i < 2; i++) expect((await post(gateway, chat, { headers })).status).toBe(200);
  const refused = await post(gateway, chat, { headers });
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(3590);
  expect(refused.headers.get("x-should-retry")).toBe("false"); // no SDK waits an hour; it would come back at once
  expect((await errorOf(refused)).message).toMatch(/may have 30 tokens in 3600 s\./);
  expect(await samples(gateway, "cortex_key_tokens_total")).toEqual({
    ...{
      '{key="alice",kind="prompt"}': 22,
      '{key="alice",kind="completion"}': 18,
      '{key="alice",kind="cached"}': 0,
    },
  });
  expect(await samples(gateway, "cortex_key_requests_total")).toEqual({
    ...{ '{key="alice",code=""}': 2, '{key="alice",code="rate_limit_exceeded"}': 1 },
  });
});

test("concurrency: streams hold their place to the end, and give it back however they end", async () => {
  const alice = keyFor("alice", { concurrency: 2 });
  const neuron = await openNeuron("demo");
  const ends: (() => void)[] = [];
  neuron.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("a"));
    ends.push(() => response.end(finish + usageChunk(5, 1, 0) + done));
  };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: required, keys: [alice.key] });
  const { headers } = alice;
  const stream = (init = {}) => post(gateway, { ...chat, stream: true }, { headers, ...init });
  const first = await stream();
  const leaving = new AbortController();
  await stream({ signal: leaving.signal });
  const refused = await stream();
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "2"]);
  leaving.abort();
  const admitted = async () => {
    const response = await stream();
    return response.status === 200 ? response : undefined;
  };
  let second = await admitted();
  while (second === undefined) second = await admitted();
  ends[0]!();
  await first.text();
  let third = await admitted();
  while (third === undefined) third = await admitted();
  neuron.answer = (_, response) => response.destroy();
  for (const end of ends) end();
  await Promise.all([second.text(), third.text()]);
  for (let i = 0; i < 5; i++) expect([502, 503]).toContain((await post(gateway, chat, { headers })).status);
});

test("who hangs up before the neuron counts is charged what was seen and what was sent", async () => {
  const alice = keyFor("alice", { tokens: 100_000, window_s: 3600 });
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("a") + delta("b") + delta("c"));
  };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: required, keys: [alice.key] });
  const leaving = new AbortController();
  const body = JSON.stringify({ ...chat, stream: true, padding: "x".repeat(400) });
  const response = await post(gateway, body, { headers: alice.headers, signal: leaving.signal });
  await response.body!.getReader().read();
  await until(() => gateway.gateway.traffic.report()[0]?.tokens === 3);
  leaving.abort();
  await until(() => gateway.logs.some(({ event }) => event === "request"));
  const [used] = Object.values(await gateway.gateway.usage.of(alice.key.id, 2));
  expect(used).toMatchObject({
    requests: 1,
    prompt_tokens: Math.ceil(body.length / 4),
    completion_tokens: 3,
  });
  const { window } = await accountOf(alice.key, gateway.gateway.store);
  expect(window.used).toBe(Math.ceil(body.length / 4) + 3);
});
