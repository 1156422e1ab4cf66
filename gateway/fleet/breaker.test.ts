import { expect, test } from "vitest";
import { Breakers } from "./breaker.ts";

function open(options = {}) {
  const clock = { ms: 1000 };
  const breakers = new Breakers(
    { failures: 3, pauseMs: 100, longestPauseMs: 350, ...options },
    () => clock.ms,
  );
  /** f: a failure, s: a success, d: dropped, >: sent, a number: so many ms pass. */
  const play = (script: string) => {
    for (const step of script.split(" "))
      if (step === "f") breakers.failed("a");
      else if (step === "s") breakers.succeeded("a");
      else if (step === "d") breakers.dropped("a");
      else if (step === ">") breakers.sent("a");
      else if (step !== "") clock.ms += Number(step);
    return [breakers.stateOf("a"), breakers.shut(["a", "b"]).length] as const;
  };
  return { breakers, play, clock };
}

test.each<[string, string, "closed" | "open" | "half_open", number]>([
  ["nothing known", "", "closed", 0],
  ["two failures", "f f", "closed", 0],
  ["three in a row", "f f f", "open", 1],
  ["three, but not in a row", "f f s f f", "closed", 0],
  ["a client that leaves is no failure", "f f d d", "closed", 0],
  ["the pause is not over", "f f f 99", "open", 1],
  ["the pause is over", "f f f 100", "half_open", 0],
  ["one tries, the others wait", "f f f 100 >", "half_open", 1],
  ["it succeeds", "f f f 100 > s", "closed", 0],
  ["it fails: twice the pause", "f f f 100 > f 199", "open", 1],
  ["and then again a trial", "f f f 100 > f 200", "half_open", 0],
  ["never longer than the longest", "f f f 100 > f 200 > f 349", "open", 1],
  ["the longest is over", "f f f 100 > f 200 > f 350", "half_open", 0],
  ["the trial's client leaves", "f f f 100 > d", "half_open", 0],
  ["a trial that is never heard of", "f f f 100 > 59999", "half_open", 1],
  ["is over in the end", "f f f 100 > 60000", "half_open", 0],
  ["failures of requests sent before", "f f f f f 100", "half_open", 0],
  ["closed again, it counts from nothing", "f f f 100 > s f f", "closed", 0],
  ["and pauses from the beginning", "f f f 100 > s f f f 100", "half_open", 0],
])("%s", (_, script, state, shut) => {
  expect(open().play(script)).toEqual([state, shut]);
});

test("it says once that it opened and once that it closed; others are not touched", () => {
  const { breakers, clock } = open();
  expect([1, 2, 3, 4].map(() => breakers.failed("a"))).toEqual([false, false, true, false]);
  expect([breakers.stateOf("b"), breakers.shut(["b"])]).toEqual(["closed", []]);
  clock.ms += 100;
  expect([breakers.succeeded("a"), breakers.succeeded("a")]).toEqual([true, false]);
});
