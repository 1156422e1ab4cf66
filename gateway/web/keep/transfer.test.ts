import { expect, test } from "vitest";
import type { Conversation } from "./conversation.ts";
import { append, newConversation, withMessage } from "./conversation.ts";
import type { Picture } from "./database.ts";
import type { Bundle } from "./transfer.ts";
import { fromFile, incoming, toFile } from "./transfer.ts";

const picture: Picture = { id: "p1", name: "a.png", url: "data:image/png;base64,AAAA", width: 3, height: 5 };
const question = { role: "user" as const, text: "what?", images: ["p1"] };
const answer = {
  ...{ role: "assistant" as const, model: "demo", state: "failed" as const, content: "half", reasoning: "" },
  ...{ calls: [{ id: "a", name: "weather", arguments: "{}" }], usage: { prompt: 1, completion: 2 } },
  ...{ timings: { firstToken: 3.5 }, error: { message: "broken", code: "upstream_interrupted" } },
};

function talk(id = "c1", updatedAt = 7): Conversation {
  const settings = { model: "demo", temperature: 0, thinking: false };
  const asked = append(newConversation(id, settings, 1), { id: "q", parent: "", message: question }, 2);
  return append(asked, { id: "a", parent: "q", message: answer }, updatedAt);
}

const bundle: Bundle = { conversations: [talk()], pictures: [picture] };
const now = new Date("2026-11-20T12:00:00Z");

test("there and back", () => {
  expect(fromFile(toFile(bundle, now))).toEqual(bundle);
});

test("an answer that was still coming has broken off", () => {
  const streaming = withMessage(talk(), "a", { ...answer, state: "streaming" });
  const [back] = fromFile(toFile({ conversations: [streaming], pictures: [] }, now)).conversations;
  expect(back!.nodes["a"]!.message).toMatchObject({ state: "failed", content: "half" });
});

test.each<[string, string, string, string]>([
  ["a newer version", '"version": 1', '"version": 2', "newer page"],
  ["a title that is a number", '"title": "what?"', '"title": 5', "conversations.0.title"],
  ["an unknown role", '"role": "user"', '"role": "root"', "message.role"],
  ["a missing parent", '"parent": "q"', '"parent": "x"', "in the air"],
  ["a circle", '"parent": ""', '"parent": "a"', "in the air"],
  ["a choice of nothing", '"q": "a"', '"q": "x"', "not there"],
  ["two ids", '"id": "a",\n          "parent"', '"id": "b",\n          "parent"', "two ids"],
  ["a script for a picture", "data:image/png;base64,AAAA", "javascript:alert(1)", "not a picture"],
  ["a vector for a picture", "image/png", "image/svg+xml", "not a picture"],
])("%s is refused", (_, good, spoilt, why) => {
  const file = toFile(bundle, now);
  expect(file).toContain(good);
  expect(() => fromFile(file.replace(good, spoilt))).toThrow(why);
});

test.each([
  ["{", "not a JSON file"],
  ["null", "not exported by this page"],
  ["[]", "not exported by this page"],
])("%s is refused", (text, why) => {
  expect(() => fromFile(text)).toThrow(why);
});

test("what is there already is not taken twice; what has changed comes beside it", () => {
  let next = 0;
  const fresh = () => `new${next++}`;
  const all = (known: [string, number][]) => incoming(bundle, new Map(known), fresh);
  expect(all([["c1", 7]])).toEqual({ conversations: [], pictures: [] });
  const beside = all([["c1", 8]]);
  expect(beside.conversations[0]).toMatchObject({
    id: "new1",
    nodes: { q: { message: { images: ["new0"] } } },
  });
  expect(beside.pictures).toEqual([{ ...picture, id: "new0" }]);
  expect(all([]).conversations[0]!.id).toBe("c1");
});
