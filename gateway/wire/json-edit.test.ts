import { expect, test } from "vitest";
import { setFields, valueAt } from "./json-edit.ts";

test.each([
  ["replaces in place", `{"model":"a","x":1}`, { model: "b" }, `{"model":"b","x":1}`],
  ["adds what is missing, first", `{"x":1}`, { model: "b" }, `{"model":"b","x":1}`],
  ["fills an empty object", ` { } `, { a: 1, b: null }, ` {"a":1,"b":null } `],
  [
    "keeps digits and space",
    `{ "seed" : 12345678901234567890 ,\n "model":"a", "t":1.0 }`,
    { model: "é" },
    `{ "seed" : 12345678901234567890 ,\n "model":"é", "t":1.0 }`,
  ],
  [
    "does not look inside values",
    `{"messages":[{"model":"no","c":"}\\"]{,\\\\"}],"model":"a"}`,
    { model: "b" },
    `{"messages":[{"model":"no","c":"}\\"]{,\\\\"}],"model":"b"}`,
  ],
  ["replaces every copy of a key", `{"model":"a","model":"c"}`, { model: "b" }, `{"model":"b","model":"b"}`],
  ["reads escaped keys", `{"mod\\u0065l":true}`, { model: "b" }, `{"mod\\u0065l":"b"}`],
  [
    "replaces objects, literals, numbers",
    `{"o":{"a":[1]},"n":null,"z":-1e5}`,
    { o: 1, n: 2, z: 3 },
    `{"o":1,"n":2,"z":3}`,
  ],
])("%s", (_, text, values, want) => {
  expect(setFields(text, values)).toBe(want);
});

test("agrees with parse and print on ten thousand odd objects", () => {
  let state = 7;
  const random = (n: number) => (state = (state * 48271) % 2147483647) % n;
  const strings = ["", "a", 'q"', "\\", '\\\\"', "{", "]}", ",", "é\n", "model", ":"];
  const value = (depth: number): unknown => {
    const kind = random(depth > 2 ? 4 : 6);
    if (kind === 0) return random(1000) / 8 - 50;
    if (kind === 1) return strings[random(strings.length)];
    if (kind === 2) return random(2) === 0;
    if (kind === 3) return null;
    if (kind === 4) return Array.from({ length: random(4) }, () => value(depth + 1));
    return Object.fromEntries(
      Array.from({ length: random(5) }, () => [strings[random(11)], value(depth + 1)]),
    );
  };
  for (let i = 0; i < 10_000; i++) {
    const object = Object.fromEntries(
      Array.from({ length: random(5) }, () => [strings[random(11)], value(0)]),
    );
    const text = JSON.stringify(object, null, random(3));
    const edited = setFields(text, { model: "new", "]}": [random(9)] });
    const parsed = JSON.parse(edited) as Record<string, unknown>;
    expect(parsed.model, text).toBe("new");
    expect({ ...parsed, model: 0, "]}": 0 }).toEqual({ ...object, model: 0, "]}": 0 });
  }
});

test("valueAt cuts one value out of a text", () => {
  const text = `…"usage":{"a":{"b":"}"}},"x":1`;
  expect(valueAt(text, text.indexOf("{"))).toBe(`{"a":{"b":"}"}}`);
});
