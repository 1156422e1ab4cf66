import { expect, test } from "vitest";
import type { AssistantMessage, Conversation, Message } from "./conversation.ts";
import * as tree from "./conversation.ts";

const user = (text: string, ...images: string[]): Message => ({ role: "user", text, images });
const answer = (content: string, more: Partial<AssistantMessage> = {}): Message => ({
  ...{ role: "assistant", model: "demo", state: "done", content, reasoning: "", calls: [] },
  ...more,
});

/** Each line is [id, parent, message]; time is the number of the line. */
function grown(...lines: [string, string, Message][]): Conversation {
  return lines.reduce(
    (whole, [id, parent, message], i) => tree.append(whole, { id, parent, message }, i + 1),
    tree.newConversation("c", {}, 0),
  );
}

const texts = (conversation: Conversation) =>
  tree.pathOf(conversation).map(({ message }) => ("text" in message ? message.text : message.content));

const talk = grown(
  ["q1", "", user("one")],
  ["a1", "q1", answer("first")],
  ["q2", "a1", user("two")],
  ["a2", "q2", answer("second")],
);

test("a path from the first message to the last", () => {
  expect(texts(talk)).toEqual(["one", "first", "two", "second"]);
  expect(tree.pathTo(talk, "q2").map((n) => n.id)).toEqual(["q1", "a1", "q2"]);
  expect(talk.updatedAt).toBe(4);
  expect(tree.pathOf(tree.newConversation("c", {}, 0))).toEqual([]);
});

test("a regenerated answer hides what followed the old one, and loses nothing", () => {
  const again = tree.append(talk, { id: "a1b", parent: "q1", message: answer("other") }, 9);
  expect(texts(again)).toEqual(["one", "other"]);
  expect(tree.variantsOf(again, "a1b")).toEqual(["a1", "a1b"]);
  expect(texts(tree.choose(again, "a1"))).toEqual(["one", "first", "two", "second"]);
});

test("an edited question is a sibling; one of the first message, too", () => {
  const edited = tree.append(talk, { id: "q2b", parent: "a1", message: user("zwei") }, 9);
  expect(texts(edited)).toEqual(["one", "first", "zwei"]);
  const first = tree.append(talk, { id: "q1b", parent: "", message: user("eins") }, 9);
  expect(texts(first)).toEqual(["eins"]);
  expect(tree.variantsOf(first, "q1")).toEqual(["q1", "q1b"]);
  expect(first.title).toBe("eins");
});

test.each([
  ["short", "short"],
  ["\n  two\nlines ", "two"],
  ["", "A picture"],
  ["word ".repeat(20), `${"word ".repeat(11).trim()} word…`],
  ["x".repeat(99), `${"x".repeat(30)}…`],
])("the title of %j", (text, title) => {
  expect(grown(["q", "", user(text)]).title).toBe(title);
});

test("a chosen title stays", () => {
  const named = tree.rename(tree.newConversation("c", {}, 0), " Mine ");
  expect(tree.append(named, { id: "q", parent: "", message: user("one") }, 1).title).toBe("Mine");
  expect(tree.rename(named, "  ").title).toBe("Mine");
});

test("an answer that was cut off by closing the page keeps its text and says so", () => {
  const cut = grown(["q", "", user("one")], ["a", "q", answer("half", { state: "streaming" })]);
  expect(tree.settled(cut).nodes["a"]!.message).toMatchObject({
    ...{ state: "failed", content: "half" },
    error: { message: expect.stringContaining("closed") },
  });
  expect(tree.settled(talk)).toBe(talk);
});

test("values in, values out", () => {
  const before = structuredClone(talk);
  tree.append(talk, { id: "x", parent: "a2", message: user("x", "picture") }, 9);
  tree.withMessage(talk, "a1", answer("changed"));
  tree.choose(talk, "a1");
  expect(talk).toEqual(before);
  expect(tree.withMessage(talk, "none", answer(""))).toBe(talk);
  expect(tree.imagesOf(grown(["q", "", user("", "p1", "p2")]))).toEqual(["p1", "p2"]);
});
