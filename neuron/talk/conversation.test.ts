import { expect, test } from "vitest";
import { Conversation } from "./conversation.ts";

test("a body holds the system prompt, the turns, and pictures in front of their text", () => {
  const talk = new Conversation("demo", "Be brief.");
  talk.pictures.push({ name: "cat.png", url: "data:image/png;base64,AA==" });
  talk.say("What is this?");
  talk.messages.push({ role: "assistant", content: "A cat." });
  talk.say("Sure?");
  expect(talk.body()).toEqual({
    model: "demo",
    messages: [
      { role: "system", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } },
          { type: "text", text: "What is this?" },
        ],
      },
      { role: "assistant", content: "A cat." },
      { role: "user", content: "Sure?" },
    ],
  });
});

test.each([
  ["temperature", "0.5", { temperature: 0.5 }],
  ["top_k", "7", { top_k: 7 }],
  ["seed", "-1", { seed: -1 }],
  ["stop", "END,STOP", { stop: ["END", "STOP"] }],
  ["think", "on", { chat_template_kwargs: { enable_thinking: true } }],
  ["think", "off", { chat_template_kwargs: { enable_thinking: false } }],
])("/set %s %s", (name, value, wanted) => {
  const talk = new Conversation("m");
  talk.set(name, value);
  expect(talk.body()).toEqual({ model: "m", messages: [], ...wanted });
  talk.set(name, undefined);
  expect(talk.body()).toEqual({ model: "m", messages: [] });
});

test.each([
  ["colour", "red", 'there is no setting "colour"; there are temperature, top_p'],
  ["temperature", "warm", 'temperature: expected a number, not "warm"'],
  ["max_tokens", "1.5", 'max_tokens: expected a whole number, not "1.5"'],
  ["think", "maybe", 'think: expected on or off, not "maybe"'],
  ["toString", "1", 'there is no setting "toString"'],
])("/set %s %s is refused with what would be right", (name, value, words) => {
  expect(() => new Conversation("m").set(name, value)).toThrow(words);
});

test("rewinding takes the last answer back and keeps its question", () => {
  const talk = new Conversation("m");
  expect(talk.rewind()).toBe(false);
  talk.say("One?");
  talk.messages.push({ role: "assistant", content: "1" });
  expect(talk.rewind()).toBe(true);
  expect(talk.messages).toEqual([{ role: "user", content: "One?" }]);
});
