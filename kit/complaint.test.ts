import { CommanderError } from "commander";
import { expect, test } from "vitest";
import { AnswerError } from "./client.ts";
import { complaintDocument, complaintOf, wantsJson } from "./complaint.ts";

test.each([
  ["ls --json", true],
  ["ls", false],
  ["chat m -- --json", false],
])("%s: %s", (line, want) => expect(wantsJson(line.split(" "))).toBe(want));

class Known extends Error {}
const codes = (error: Error) => (error instanceof Known ? "known" : undefined);

test.each<[string, unknown, object]>([
  [
    "usage",
    new CommanderError(1, "commander.x", "error: no such flag"),
    { message: "no such flag", code: "wrong_usage" },
  ],
  [
    "nobody",
    new AnswerError("nobody there", { reason: "ECONNREFUSED" }),
    { message: "nobody there", code: "no_answer" },
  ],
  [
    "a no",
    new AnswerError("no", { status: 404, code: "gone" }),
    { message: "no", code: "gone", status: 404 },
  ],
  ["the program's own", new Known("ours"), { message: "ours", code: "known" }],
  ["a bug", new TypeError("oh"), { message: "oh", code: "internal" }],
  ["no error at all", "oh", { message: "oh", code: "internal" }],
])("%s", (_, error, want) => {
  expect(complaintOf(error, codes)).toEqual(want);
  expect(JSON.parse(complaintDocument(complaintOf(error, codes)))).toEqual({ error: want });
});
