import { expect, test } from "vitest";
import { EventReader } from "./sse.ts";

function read(...pieces: string[]): string[] {
  const reader = new EventReader();
  return [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()];
}

test.each<[string, string[], string[]]>([
  ["one event", ["data: a\n\n"], ["a"]],
  ["two in one piece", ["data: a\n\ndata: b\n\n"], ["a", "b"]],
  ["cut anywhere", ["da", "ta: a", "bc\n", "\nd", "ata: d\n\n"], ["abc", "d"]],
  ["data of several lines", ["data: a\ndata:\ndata: c\n\n"], ["a\n\nc"]],
  ["CRLF, cut within", ["data: a\r", "\n\r\ndata: b\r\n\r\n"], ["a", "b"]],
  ["CR alone", ["data: a\r\rdata: b\r\r"], ["a", "b"]],
  ["comments, names and ids", [": ping\n\nevent: x\nid: 7\ndata: a\n\n"], ["a"]],
  ["a space more is data", ["data:  a \n\n"], [" a "]],
  ["no space", ["data:a\n\n"], ["a"]],
  ["another field that begins alike", ["database: a\n\n"], []],
  ["no blank line at the end", ["data: a\n\ndata: b"], ["a", "b"]],
  ["nothing", ["", "\n\n\n"], []],
])("%s", (_, pieces, want) => {
  expect(read(...pieces)).toEqual(want);
});

test("every cut of a stream gives the same events", () => {
  const text = 'data: {"a":"ä"}\r\n\r\n: ping\n\ndata: two\ndata: lines\n\ndata: [DONE]\n\n';
  const whole = read(text);
  expect(whole).toEqual(['{"a":"ä"}', "two\nlines", "[DONE]"]);
  for (let i = 0; i <= text.length; i++) expect(read(text.slice(0, i), text.slice(i))).toEqual(whole);
});
