import { describe, expect, test } from "vitest";
import { EngineError } from "../errors.ts";
import {
  retryAfterSeconds,
  Scheduler,
  type Drawn,
  type Ended,
  type SchedulerOptions,
  type SequenceRequest,
  type Step,
} from "./scheduler.ts";

const options = (change: Partial<SchedulerOptions> = {}): SchedulerOptions => ({
  ...{ slots: 3, pages: 20, contextLength: 640, chunk: 128, maxQueue: 4, maxPerPrincipal: Infinity },
  ...{ states: false, prefixCache: false, snapshots: 0, specialTokens: [99] },
  ...change,
});
const hybrid = { states: true, prefixCache: true, snapshots: 4 };

const prompt = (length: number, ...special: number[]) =>
  Array.from({ length }, (_, i) => (special.includes(i) ? 99 : 1 + (i % 7)));
const request = (id: number, tokens: number[], change: Partial<SequenceRequest> = {}) => ({
  ...{ id, prompt: tokens, maxTokens: 50 },
  ...change,
});

/** Draws 500, 501, … for everything that has logits. */
function draw(step: Step, stop: readonly number[] = []): Drawn[] {
  const rows = step.decode.map(({ sequence, row }) => ({ sequence, token: 500 + row }));
  const last = step.prefill?.logits
    ? [{ sequence: step.prefill.sequence, token: 499 + step.prefill.to }]
    : [];
  return [...rows, ...last].map((one) => ({ ...one, stop: stop.includes(one.sequence) }));
}

function turn(scheduler: Scheduler, stop: readonly number[] = []): { step: Step; ended: Ended[] } {
  const step = scheduler.next();
  return { step, ended: scheduler.done(draw(step, stop)) };
}

/** A step in short: who decodes, and who has which rows of his prompt computed. */
function brief({ decode, prefill }: Step): string {
  const rows = decode.map(({ sequence, row }) => `${sequence}@${row}`).join(" ");
  if (!prefill) return rows;
  const end = prefill.snapshot === undefined ? "" : ` → ${prefill.snapshot}`;
  return `${rows} | ${prefill.sequence}: ${prefill.from}–${prefill.to}${prefill.logits ? "!" : ""}${end}`.trim();
}

function turns(scheduler: Scheduler, count: number): string[] {
  return Array.from({ length: count }, () => brief(turn(scheduler).step));
}

function refusal(act: () => void): EngineError {
  try {
    act();
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

test.each([
  [false, ["1 from 0", "2 from 0", "2 from 0"], 1],
  [true, ["1 from 0", "2 from 0"], 0],
])("strict: %s", (strict, want, preemptions) => {
  const scheduler = new Scheduler(options({ pages: 10, strict }));
  for (const id of [1, 2]) scheduler.admit(request(id, prompt(200), { maxTokens: 300 }));
  const started: string[] = [];
  let most = 0;
  while (scheduler.busy) {
    started.push(...turn(scheduler).step.started.map(({ sequence, from }) => `${sequence} from ${from}`));
    most = Math.max(most, scheduler.stats.running);
  }
  expect(started).toEqual(want);
  expect(scheduler.stats.preemptions).toBe(preemptions);
  expect(most).toBe(strict ? 1 : 2); // ten pages are not enough for all that two may become
});

test("in strict mode nothing is shared, whoever begins alike", () => {
  for (const strict of [false, true]) {
    const scheduler = new Scheduler(options({ prefixCache: true, strict }));
    for (const id of [1, 2]) scheduler.admit(request(id, prompt(300), { maxTokens: 3, family: 3 }));
    const from: number[] = [];
    while (scheduler.busy) from.push(...turn(scheduler).step.started.map((one) => one.from));
    expect(from).toEqual(strict ? [0, 0] : [0, 256]);
  }
});

test("one sequence from its prompt to its end, every step in full", () => {
  const scheduler = new Scheduler(options());
  scheduler.admit(request(7, prompt(130), { maxTokens: 3 }));
  const empty = { ended: [], preempted: [], started: [], tables: [], copies: [], decode: [] };
  expect(turn(scheduler)).toEqual({
    step: {
      ...{ ...empty, turn: 1, started: [{ sequence: 7, slot: 0, from: 0, ropeDelta: 0 }] },
      tables: [{ slot: 0, first: 0, pages: [0, 1, 2] }],
      prefill: {
        ...{ sequence: 7, slot: 0, from: 0, to: 128, tokens: prompt(130).slice(0, 128) },
        ...{ logits: false, snapshot: undefined },
      },
    },
    ended: [],
  });
  expect(turn(scheduler).step.prefill).toEqual({
    ...{ sequence: 7, slot: 0, from: 128, to: 130, tokens: [3, 4], logits: true, snapshot: undefined },
  });
  expect(turn(scheduler).step).toEqual({
    ...{ ...empty, turn: 3, prefill: undefined },
    decode: [{ sequence: 7, slot: 0, row: 130, token: 629 }],
  });
  expect(scheduler.stats).toMatchObject({ running: 1, pages: { used: 3 } });
  const usage = { promptTokens: 130, completionTokens: 3, cachedTokens: 0 };
  expect(turn(scheduler).ended).toEqual([{ sequence: 7, reason: "length", usage }]);
  expect(scheduler.busy).toBe(false);
  expect(scheduler.stats).toMatchObject({ running: 0, waiting: 0, pages: { used: 0, free: 20 } });
});

test("a long prompt holds up nobody: one chunk a turn beside all that run", () => {
  const scheduler = new Scheduler(options());
  scheduler.admit(request(1, prompt(1)));
  scheduler.admit(request(2, prompt(5)));
  scheduler.admit(request(3, prompt(300)));
  expect(turns(scheduler, 6)).toEqual([
    "1@0 | 2: 0–5!", // a single token needs no prefill
    "1@1 2@5 | 3: 0–128",
    "1@2 2@6 | 3: 128–256",
    "1@3 2@7 | 3: 256–300!",
    "1@4 2@8 3@300",
    "1@5 2@9 3@301",
  ]);
});

test("first come, first served", () => {
  const scheduler = new Scheduler(options({ slots: 2 }));
  for (const id of [1, 2, 3, 4]) scheduler.admit(request(id, prompt(10 * id), { maxTokens: 3 }));
  expect(turns(scheduler, 9)).toEqual([
    "| 1: 0–10!",
    "1@10 | 2: 0–20!",
    "1@11 2@20",
    "2@21 | 3: 0–30!",
    "3@30 | 4: 0–40!",
    "3@31 4@40",
    "4@41",
    "",
    "",
  ]);
});

describe("ends", () => {
  test.each<[string, Partial<SequenceRequest>, number, Ended["reason"], number]>([
    ["the caller's stop", {}, 1, "stop", 1],
    ["a stop with the last token allowed", { maxTokens: 2 }, 2, "stop", 2],
    ["maxTokens", { maxTokens: 4 }, 9, "length", 4],
    ["the context", { maxTokens: 4000, prompt: prompt(630) }, 99, "length", 10],
  ])("%s", (_, change, stopAt, reason, completionTokens) => {
    const scheduler = new Scheduler(options());
    scheduler.admit(request(1, prompt(3), change));
    let ended: Ended[] = [];
    for (let drawn = 0; ended.length === 0;) {
      const step = scheduler.next();
      const tokens = draw(step);
      drawn += tokens.length;
      ended = scheduler.done(tokens.map((one) => ({ ...one, stop: drawn === stopAt })));
    }
    expect(ended).toMatchObject([{ reason, usage: { completionTokens } }]);
    expect(scheduler.busy).toBe(false);
  });

  test("cancelled while it waits: at once out of the queue, reported with the next step", () => {
    const scheduler = new Scheduler(options({ slots: 1 }));
    scheduler.admit(request(1, prompt(3)));
    scheduler.admit(request(2, prompt(3)));
    turn(scheduler);
    scheduler.cancel(2);
    expect(scheduler.stats).toMatchObject({ running: 1, waiting: 0 });
    expect(turn(scheduler).step.ended).toMatchObject([
      { sequence: 2, reason: "cancelled", usage: { completionTokens: 0 } },
    ]);
  });

  test("cancelled while it runs: gone with the next step, whose slot it leaves to the next in the queue", () => {
    const scheduler = new Scheduler(options({ slots: 1 }));
    scheduler.admit(request(1, prompt(3)));
    scheduler.admit(request(2, prompt(3)));
    turn(scheduler);
    const step = scheduler.next();
    scheduler.cancel(1);
    expect(scheduler.done([])).toEqual([]); // nobody needs its token
    expect(brief(step)).toBe("1@3");
    const { step: after } = turn(scheduler);
    expect(after.ended).toMatchObject([{ sequence: 1, reason: "cancelled" }]);
    expect([brief(after), after.started]).toEqual([
      "| 2: 0–3!",
      [{ sequence: 2, slot: 0, from: 0, ropeDelta: 0 }],
    ]);
  });

  test("of one that is not here nothing is heard", () => {
    const scheduler = new Scheduler(options());
    scheduler.cancel(5);
    expect([scheduler.busy, turn(scheduler).step.ended]).toEqual([false, []]);
  });
});

describe("at the door", () => {
  test("a full queue, with figures", () => {
    const scheduler = new Scheduler(options({ slots: 2, maxQueue: 3 }));
    for (const id of [1, 2, 3, 4, 5]) scheduler.admit(request(id, prompt(9)));
    turn(scheduler);
    turn(scheduler);
    expect(refusal(() => scheduler.admit(request(6, prompt(9))))).toMatchObject({
      code: "queue_full",
      message: "5 requests run or wait for this model already",
      details: { waiting: 3, limit: 3, retryAfter: 8 },
    });
    scheduler.cancel(4);
    scheduler.admit(request(6, prompt(9)));
  });

  test("without a queue there is still room to run", () => {
    const scheduler = new Scheduler(options({ slots: 2, maxQueue: 0 }));
    scheduler.admit(request(1, prompt(9)));
    scheduler.admit(request(2, prompt(9)));
    expect(refusal(() => scheduler.admit(request(3, prompt(9)))).code).toBe("queue_full");
  });

  test("a principal's share, which his own ends give back", () => {
    const scheduler = new Scheduler(options({ maxPerPrincipal: 2 }));
    for (const id of [1, 2]) scheduler.admit(request(id, prompt(9), { principal: "a" }));
    const again = () => scheduler.admit(request(3, prompt(9), { principal: "a" }));
    expect(refusal(again)).toMatchObject({
      code: "rate_limit_exceeded",
      message: "2 requests of yours run or wait for this model already, the limit is 2",
      details: { limit: 2, retryAfter: 2 },
    });
    scheduler.admit(request(4, prompt(9), { principal: "b" }));
    scheduler.admit(request(5, prompt(9)));
    scheduler.cancel(2);
    again();
  });

  test("a prompt that leaves no room for a token", () => {
    const scheduler = new Scheduler(options());
    expect(refusal(() => scheduler.admit(request(1, prompt(640))))).toMatchObject({
      code: "context_length_exceeded",
      details: { max: 640, promptTokens: 640 },
    });
    scheduler.admit(request(1, prompt(639)));
  });

  test.each<[string, SequenceRequest]>([
    ["no prompt", request(1, [])],
    ["no tokens to make", request(1, prompt(3), { maxTokens: 0 })],
    ["an id that is here", request(8, prompt(3))],
  ])("%s is a bug, and nothing of it stays", (_, wrong) => {
    const scheduler = new Scheduler(options());
    scheduler.admit(request(8, prompt(3)));
    expect(() => scheduler.admit(wrong)).toThrow();
    expect(scheduler.stats.waiting).toBe(1);
  });

  test.each([
    [-3, 2],
    [0, 2],
    [1, 4],
    [20, 42],
    [500, 120],
  ])("with %d waiting: again in %d s", (waiting, seconds) => {
    expect(retryAfterSeconds(waiting)).toBe(seconds);
  });
});

describe("pages", () => {
  test.each([
    [6, "1@64 | 2: 0–128!"], // 2 of the first, 3 for the second, 1 for the first to grow
    [5, "1@64"],
  ])("with %d pages, a second prompt of 128 tokens beside one of 64: %s", (pages, want) => {
    const scheduler = new Scheduler(options({ pages, contextLength: 320 }));
    scheduler.admit(request(1, prompt(64)));
    scheduler.admit(request(2, prompt(128)));
    turn(scheduler);
    expect(brief(turn(scheduler).step)).toBe(want);
  });

  test("a small request does not overtake one that waits for pages", () => {
    const scheduler = new Scheduler(options({ pages: 5, contextLength: 320 }));
    for (const [id, length] of [
      [1, 64],
      [2, 128],
      [3, 5],
    ] as const)
      scheduler.admit(request(id, prompt(length), { maxTokens: 4 }));
    expect(turns(scheduler, 7)).toEqual([
      ...["| 1: 0–64!", "1@64", "1@65", "1@66", "| 2: 0–128!", "2@128 | 3: 0–5!", "2@129 3@5"],
    ]);
  });

  test("when none is left the newest gives up its own, and begins again from its tokens", () => {
    const scheduler = new Scheduler(options({ pages: 4, contextLength: 250 }));
    scheduler.admit(request(1, prompt(60), { maxTokens: 180 }));
    scheduler.admit(request(2, prompt(61), { maxTokens: 80 }));
    const steps: Step[] = [];
    while (scheduler.busy) steps.push(turn(scheduler).step);
    // The first has row t + 58 in turn t, and needs its third page for row 128.
    const preempted = steps.flatMap((step) => step.preempted.map((id) => `${id} in turn ${step.turn}`));
    expect(preempted).toEqual(["2 in turn 70"]);
    expect([steps[68]!, steps[69]!, steps[179]!].map(brief)).toEqual(["1@127 2@127", "1@128", "1@238"]);
    const again = steps[180]!;
    expect([brief(again), again.started]).toEqual([
      "| 2: 0–128",
      [{ sequence: 2, slot: 0, from: 0, ropeDelta: 0 }],
    ]);
    expect(again.prefill!.tokens.slice(60, 64)).toEqual([5, 560, 561, 562]);
    expect(brief(steps[181]!)).toBe("2@128");
    expect(scheduler.stats).toMatchObject({ preemptions: 1, pages: { used: 0, free: 4 } });
  });

  test("and comes before those that arrived later", () => {
    const scheduler = new Scheduler(options({ pages: 4, contextLength: 250, slots: 2 }));
    scheduler.admit(request(1, prompt(60), { maxTokens: 180 }));
    scheduler.admit(request(2, prompt(61), { maxTokens: 80 }));
    scheduler.admit(request(3, prompt(5), { maxTokens: 2 }));
    const steps: Step[] = [];
    while (scheduler.busy) steps.push(turn(scheduler).step);
    expect(steps.flatMap(({ preempted }) => preempted)).toEqual([2]);
    const started = steps.flatMap((step) => step.started.map(({ sequence }) => sequence));
    expect(started).toEqual([1, 2, 2, 3]);
  });

  test("the pages of what ended are another's as soon as they are needed", () => {
    const scheduler = new Scheduler(options({ pages: 10, prefixCache: true }));
    scheduler.admit(request(1, prompt(500), { maxTokens: 1 }));
    while (scheduler.busy) turn(scheduler);
    expect(scheduler.stats.pages).toEqual({ total: 10, used: 0, idle: 7, free: 3 });
    scheduler.admit(request(2, Array(600).fill(8), { maxTokens: 1 }));
    while (scheduler.busy) turn(scheduler);
    expect(scheduler.stats.pages).toEqual({ total: 10, used: 0, idle: 9, free: 1 });
  });
});

describe("the prefix cache", () => {
  /** Runs a request to its end; its steps. */
  function answered(scheduler: Scheduler, one: SequenceRequest): Step[] {
    scheduler.admit(one);
    const steps = [];
    while (scheduler.busy) steps.push(turn(scheduler).step);
    return steps;
  }

  test("a model of attention alone goes on behind the last whole page, answers included", () => {
    const scheduler = new Scheduler(options({ prefixCache: true }));
    answered(scheduler, request(1, prompt(100), { maxTokens: 40 }));
    const drawn = Array.from({ length: 40 }, (_, i) => 599 + i);
    const [step] = answered(scheduler, request(2, [...prompt(100), ...drawn.slice(1), 9], { maxTokens: 1 }));
    expect(step!.started).toEqual([{ sequence: 2, slot: 0, from: 64, ropeDelta: 0 }]);
    const [other] = answered(scheduler, request(3, [...prompt(100), ...drawn, 9], { maxTokens: 1 }));
    expect(other!.started).toEqual([{ sequence: 3, slot: 0, from: 128, ropeDelta: 0 }]);
    expect([brief(other!), other!.tables]).toEqual([
      "| 3: 128–141!",
      [{ slot: 0, first: 0, pages: [0, 1, 3] }],
    ]);
    expect(scheduler.stats.prefix).toMatchObject({ lookups: 3, hits: 2, reusedTokens: 192 });
  });

  test("a hybrid's prompt is cut where its state is saved", () => {
    const scheduler = new Scheduler(options(hybrid));
    const steps = answered(scheduler, request(1, prompt(300, 10, 290), { maxTokens: 2 }));
    expect(steps.map(brief)).toEqual([
      ...["| 1: 0–128", "| 1: 128–256 → 0", "| 1: 256–291 → 1", "| 1: 291–300!", "1@300"],
    ]);
    expect(steps[0]!.copies).toEqual([{ kind: "clear", slot: 0 }]);
    expect(scheduler.stats).toMatchObject({
      pages: { used: 0, idle: 5 },
      prefix: { snapshots: 2, pages: 5 },
    });
  });

  test("and its next turn goes on from there, on copies of the page and of the state", () => {
    const scheduler = new Scheduler(options(hybrid));
    answered(scheduler, request(1, prompt(300, 290), { maxTokens: 2 }));
    const next = [...prompt(291, 290), 7, 7, 7, 99, 8, 8];
    const [step, ...rest] = answered(scheduler, request(2, next, { maxTokens: 1 }));
    expect(step!.started).toEqual([{ sequence: 2, slot: 0, from: 291, ropeDelta: 0 }]);
    const copy = step!.tables[0]!.pages[4]!;
    expect(step!.tables[0]!.pages.slice(0, 4)).toEqual([0, 1, 2, 3]);
    expect(step!.copies).toEqual([
      { kind: "page", from: 4, to: copy },
      { kind: "restore", snapshot: 1, slot: 0 },
    ]);
    expect(copy).not.toBe(4);
    expect([step!, ...rest].map(brief)).toEqual(["| 2: 291–295 → 2", "| 2: 295–297!"]);
    expect(scheduler.stats.prefix).toMatchObject({ lookups: 2, hits: 1, reusedTokens: 291 });
  });

  test("with just pages enough for the prompt, one that needs its page copied begins without", () => {
    const scheduler = new Scheduler(options({ ...hybrid, pages: 2, contextLength: 128 }));
    answered(scheduler, request(1, prompt(120, 99), { maxTokens: 2 }));
    expect(scheduler.stats.pages).toMatchObject({ idle: 2 });
    const [step] = answered(scheduler, request(2, prompt(120, 99), { maxTokens: 2 }));
    expect([step!.started[0]!.from, step!.copies]).toEqual([0, [{ kind: "clear", slot: 0 }]]);
  });

  test("of two that compute the same the later one changes over to the pages of the first", () => {
    const scheduler = new Scheduler(options({ prefixCache: true }));
    scheduler.admit(request(1, prompt(60), { maxTokens: 40 }));
    scheduler.admit(request(2, prompt(60), { maxTokens: 40 }));
    const steps = Array.from({ length: 8 }, () => turn(scheduler).step);
    expect(scheduler.stats.pages.used).toBe(3);
    expect(steps.flatMap(({ turn: t, tables }) => tables.map((write) => ({ t, ...write })))).toEqual([
      { t: 1, slot: 0, first: 0, pages: [0] },
      { t: 2, slot: 1, first: 0, pages: [1] },
      { t: 6, slot: 0, first: 1, pages: [2] },
      { t: 7, slot: 1, first: 0, pages: [0, 1] },
    ]);
  });
});

describe("several answers to a prompt", () => {
  const answers = (scheduler: Scheduler, count: number, steps: number) => {
    for (let id = 1; id <= count; id += 1)
      scheduler.admit(request(id, prompt(200), { family: 5, maxTokens: 9 }));
    return Array.from({ length: steps }, () => turn(scheduler).step);
  };

  test("share its pages and its state, and begin together with its last token", () => {
    const steps = answers(new Scheduler(options(hybrid)), 3, 4);
    expect(steps.map(brief)).toEqual([
      ...["| 1: 0–128 → 0", "| 1: 128–199 → 1", "1@199 2@199 3@199", "1@200 2@200 3@200"],
    ]);
    expect(steps[2]!.tables).toEqual([
      { slot: 1, first: 0, pages: [0, 1, 2, 4] },
      { slot: 2, first: 0, pages: [0, 1, 2, 5] },
    ]);
    expect(steps[2]!.copies).toEqual([
      { kind: "page", from: 3, to: 4 },
      { kind: "restore", snapshot: 1, slot: 1 },
      { kind: "page", from: 3, to: 5 },
      { kind: "restore", snapshot: 1, slot: 2 },
    ]);
  });

  test("share them without a prefix cache as well, and nobody else does", () => {
    const scheduler = new Scheduler(options({ ...hybrid, prefixCache: false, snapshots: 1 }));
    scheduler.admit(request(7, prompt(200), { maxTokens: 1 }));
    const steps = answers(scheduler, 2, 5);
    expect(steps.map(brief)).toEqual([
      ...["| 7: 0–128", "| 7: 128–200!", "| 1: 0–128", "| 1: 128–199 → 0", "1@199 2@199"],
    ]);
    scheduler.admit(request(8, prompt(200), { family: 6, maxTokens: 1 }));
    expect(turns(scheduler, 2)).toEqual(["1@200 2@200 | 8: 0–128", "1@201 2@201 | 8: 128–199 → 0"]);
  });

  test("share whole pages where there is no state to save", () => {
    const steps = answers(new Scheduler(options({ prefixCache: true })), 2, 4);
    expect(steps.map(brief)).toEqual([
      ...["| 1: 0–128", "| 1: 128–200!", "1@200 | 2: 192–200!", "1@201 2@200"],
    ]);
  });

  test("compute it each for itself without a prefix cache", () => {
    const steps = answers(new Scheduler(options({ states: true })), 2, 4);
    expect(steps.map(brief)).toEqual([
      ...["| 1: 0–128", "| 1: 128–200!", "1@200 | 2: 0–128", "1@201 | 2: 128–200!"],
    ]);
  });
});

describe("a device that fails", () => {
  const started = () => {
    const scheduler = new Scheduler(options({ ...hybrid, slots: 2 }));
    for (const id of [1, 2, 3])
      scheduler.admit(request(id, prompt(150 + id, 9), { principal: `p${id}`, maxTokens: 5 }));
    for (let i = 0; i < 4; i += 1) turn(scheduler);
    return scheduler;
  };
  const nothing = {
    running: 0,
    pages: { total: 20, used: 0, idle: 0, free: 20 },
    prefix: { pages: 0, snapshots: 0 },
  };

  test.each([0, 1])("all end and all counters are zero, %d steps in flight", (inFlight) => {
    const scheduler = started();
    if (inFlight) scheduler.next();
    expect(scheduler.fail("all").map(({ sequence, reason }) => [sequence, reason])).toEqual([
      [1, "failed"],
      [2, "failed"],
      [3, "failed"],
    ]);
    expect([scheduler.busy, scheduler.stats]).toMatchObject([false, { ...nothing, waiting: 0 }]);
    expect(() => scheduler.done([])).toThrow("no turn is in flight");
    scheduler.admit(request(1, prompt(9)));
    expect(brief(turn(scheduler).step)).toBe("| 1: 0–9!");
  });

  test("or those that run, and the queue goes on", () => {
    const scheduler = started();
    expect(scheduler.fail("running").map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(scheduler.stats).toMatchObject({ ...nothing, waiting: 1 });
    const { step } = turn(scheduler);
    expect([brief(step), step.copies]).toEqual([
      "| 3: 0–10 → 0",
      [{ kind: "clear", slot: step.prefill!.slot }],
    ]);
  });
});

describe("a wrong runner is a bug", () => {
  const running = () => {
    const scheduler = new Scheduler(options());
    scheduler.admit(request(1, prompt(1)));
    scheduler.admit(request(2, prompt(200)));
    scheduler.next();
    return scheduler;
  };
  const token = (sequence: number) => ({ sequence, token: 5, stop: false });

  test.each<[string, (scheduler: Scheduler) => void, string]>([
    ["a turn before the last is done", (s) => s.next(), "turn 1 is not done"],
    ["no token", (s) => s.done([]), "sequence 1 was drawn no token"],
    ["a token in mid-prompt", (s) => s.done([token(1), token(2)]), "turn 1 gave sequence 2 no logits"],
    ["two tokens", (s) => s.done([token(1), token(1)]), "turn 1 gave sequence 1 no logits"],
  ])("%s", (_, act, message) => expect(() => act(running())).toThrow(message));

  test.each<[string, Partial<SchedulerOptions>, string]>([
    ["no slots", { slots: 0 }, "without slots"],
    ["half a page", { chunk: 96 }, "a chunk of 96 tokens is not whole pages"],
    ["no chunk", { chunk: 0 }, "a chunk of 0 tokens is not whole pages"],
    ["a context that does not fit", { pages: 9 }, "9 pages for a context of 640"],
    ["snapshots of nothing", { snapshots: 2 }, "that has no states"],
  ])("%s", (_, change, message) => expect(() => new Scheduler(options(change))).toThrow(message));
});

describe("turns ahead of what was drawn", () => {
  const ahead = (scheduler: Scheduler) => {
    const step = scheduler.ahead();
    return step && `${brief(step)} ${step.decode.map(({ token }) => token ?? "?").join(" ")}`;
  };

  test("all that run go on, on tokens that are not known; an end that is known is not passed", () => {
    const scheduler = new Scheduler(options());
    scheduler.admit(request(1, prompt(1), { maxTokens: 3 }));
    scheduler.admit(request(2, prompt(63), { maxTokens: 9 }));
    const first = scheduler.next();
    expect(brief(first)).toBe("1@0 | 2: 0–63!");
    expect([ahead(scheduler), ahead(scheduler), ahead(scheduler)]).toEqual([
      "1@1 2@63 ? ?",
      "1@2 2@64 ? ?",
      "2@65 ?",
    ]);
    expect(scheduler.stats.pages.used).toBe(3); // one more for row 64
    expect(scheduler.done(draw(first))).toEqual([]);
    expect(ahead(scheduler)).toBe("2@66 ?");
    expect(() => scheduler.next()).toThrow("turn 2 is not done");
  });

  test("what is computed behind a stop is forgotten, and the sequence's place is free at once", () => {
    const scheduler = new Scheduler(options({ slots: 1, prefixCache: true }));
    scheduler.admit(request(1, prompt(62)));
    const steps = [scheduler.next(), scheduler.ahead()!, scheduler.ahead()!, scheduler.ahead()!];
    scheduler.admit(request(2, prompt(3)));
    expect(scheduler.done(draw(steps[0]!))).toEqual([]);
    const usage = { promptTokens: 62, completionTokens: 2, cachedTokens: 0 };
    expect(scheduler.done(draw(steps[1]!, [1]))).toEqual([{ sequence: 1, reason: "stop", usage }]);
    expect(scheduler.stats).toMatchObject({ running: 0, pages: { used: 0 }, prefix: { pages: 0 } });
    expect(scheduler.done(draw(steps[2]!)), "row 63 was of a token that is not part of it").toEqual([]);
    expect(scheduler.done([])).toEqual([]);
    expect(scheduler.stats.prefix.pages).toBe(0);
    expect(brief(turn(scheduler).step)).toBe("| 2: 0–3!");
  });

  test.each<[string, Partial<SchedulerOptions>, (scheduler: Scheduler) => void]>([
    ["who left is to be ended", {}, (scheduler) => scheduler.cancel(1)],
    ["somebody can begin", {}, (scheduler) => scheduler.admit(request(5, prompt(2)))],
    ["a prompt is not done", { slots: 2 }, () => undefined],
    ["a mask waits for the token", { slots: 1 }, () => undefined],
  ])("not where %s", (why, change, disturb) => {
    const scheduler = new Scheduler(options(change));
    const stepwise = why === "a mask waits for the token";
    scheduler.admit(request(1, prompt(2), { stepwise }));
    if (why === "a prompt is not done") scheduler.admit(request(2, prompt(300)));
    scheduler.next();
    disturb(scheduler);
    expect(scheduler.ahead()).toBe(undefined);
  });

  test("what failed is in flight no more", () => {
    const scheduler = new Scheduler(options());
    scheduler.admit(request(1, prompt(2)));
    scheduler.next();
    scheduler.ahead();
    expect(scheduler.fail("running").map(({ sequence }) => sequence)).toEqual([1]);
    expect(() => scheduler.done([])).toThrow("no turn is in flight");
    expect(() => scheduler.ahead()).toThrow("no turn is in flight");
  });
});
