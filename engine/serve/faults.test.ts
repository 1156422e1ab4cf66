import { expect, test } from "vitest";
import { Faults, faultsOfLife, parseFaults } from "./faults.ts";

test("faults by kind, point and count", () => {
  expect(parseFaults("lost@decode:5  hang@prefill#3,memory@load:2* bug@sum:7/1")).toEqual([
    { kind: "lost", point: "decode", at: 5, place: 0, life: 1 },
    { kind: "hang", point: "prefill", at: 1, place: 0, life: 3 },
    { kind: "memory", point: "load", at: 2, place: 0, life: undefined },
    { kind: "bug", point: "sum", at: 7, place: 1, life: 1 },
  ]);
  expect(parseFaults(" ")).toEqual([]);
});

test.each([
  "lost",
  "lost@",
  "lost@never",
  "melt@decode",
  "lost@decode:0",
  "lost@decode:x",
  "lost@decode#0",
  "lost@decode#2*",
  "hang@load",
  "lost@read",
  "stuck@compile",
])("%s is no fault", (text) => {
  expect(() => parseFaults(`bug@decode ${text}`)).toThrow(`faults: "${text}" is not KIND@POINT`);
});

test("a thread meets the faults of its own life, and those of every life", () => {
  const faults = parseFaults("lost@decode bug@prefill* crash@decode:2#3");
  expect(faultsOfLife(faults, 1)).toEqual(faults.slice(0, 2));
  expect(faultsOfLife(faults, 2)).toEqual([faults[1]]);
  expect(faultsOfLife(faults, 3)).toEqual(faults.slice(1));
});

test("each happens at its count, once", async () => {
  const happened: string[] = [];
  const hear = (what: string) => () => void happened.push(what);
  const target = { destroyDevice: hear("lost"), hang: hear("hang"), crash: hear("crash") };
  const faults = new Faults(parseFaults("lost@decode:2 hang@decode:4 bug@prefill:2"));
  for (let i = 1; i <= 5; i += 1) {
    faults.reach("decode", target);
    await Promise.resolve(); // a loss comes when the step's commands are submitted
    happened.push(`${i}`);
  }
  expect(happened).toEqual(["1", "lost", "2", "3", "hang", "4", "5"]);
  faults.reach("prefill", target);
  expect(() => {
    faults.reach("prefill", target);
  }).toThrow("an injected bug");
  faults.reach("prefill", target);
});
