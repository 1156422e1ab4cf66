// Truth is the runtime's own RegExp: for every pattern, random texts of its letters match or do not.
import { expect, test } from "vitest";
import { choice, isNullable, type Part } from "./grammar.ts";
import { parseRegex, RegexError } from "./regex.ts";
import { accepter, generator } from "./walk.fixture.ts";

const accepted = (part: Part) => accepter({ root: part, rules: new Map() });

test.each([
  ["^a$", "ab"],
  ["a", "ab"],
  ["^a", "ab"],
  ["a$", "ab"],
  ["", "ab"],
  ["^$", "ab"],
  ["^a|b$", "abc"],
  ["^(a|b)$", "abc"],
  ["^(?:a|bc)+$", "abc"],
  ["(^a|b$)", "abc"],
  ["^(?<name>ab?)*c$", "abc"],
  ["^a{2}b{1,3}c{2,}$", "abc"],
  ["^a*?b+?c??$", "abc"],
  ["^(a*)*b$", "ab"],
  ["^(a?b?){2,3}c$", "abc"],
  ["^(a|b|)c+$", "abc"],
  ["^[a-c]x[^a-c]$", "abcxyz"],
  ["^[-a]b[c-]$", "abc-"],
  ["^[\\]a]\\[$", "a[]"],
  ["^\\d\\D\\w\\W\\s\\S$", "0a_ -\t"],
  ["^[\\d\\-x]+$", "0-xa"],
  ["^.+$", "a\n\r\u2028"],
  ["^\\.\\*\\/\\\\$", ".*/\\"],
  ["^\\x41\\u0042\\u{43}$", "ABC"],
  ["^\\t\\n\\cJ\\0$", "\t\n\0"],
  ["^\\p{Lu}\\P{Lu}[\\p{N}é]$", "aAÉé7"],
  ["^\\ud83d\\ude42.$", "🙂a"],
  ["^🙂{2}[🙂-🙄]$", "🙂🙃"],
  ["b.*a.*b", "ab"],
  ["^(a|b)*a(a|b){3}$", "ab"],
  ["^\\$\\{[a-z]+\\}$", "${}ab"],
  ["^x{,3}$", "x{,3}"],
  ["^a{0}b$", "ab"],
])("%s", (pattern, letters) => {
  let truth: RegExp;
  try {
    truth = new RegExp(pattern, "u");
  } catch {
    truth = new RegExp(pattern);
  }
  const ours = accepted(parseRegex(pattern));
  const random = generator(pattern.length);
  const alphabet = [...letters];
  let hits = 0;
  for (let n = 0; n < 1500; n++) {
    const text = Array.from(
      { length: Math.floor(random() * 8) },
      () => alphabet[Math.floor(random() * alphabet.length)],
    ).join("");
    hits += Number(truth.test(text));
    expect(ours(text), JSON.stringify(text)).toBe(truth.test(text));
  }
  if (!/\\p|\\0|\\d\\D|\{C?43|Lu|\\\$|,3|\\\.|ud83d/.test(pattern)) expect(hits).toBeGreaterThan(0);
});

test.each([
  ["^(?:[a-z]{2}-)+[0-9]$", "ab-cd-7", "abc-7"],
  ["^\\p{Lu}\\P{Lu}[\\p{N}é]$", "ÉaⅧ", "Éa!"],
  ["^\\x41\\u0042\\u{43}$", "ABC", "ABc"],
  ["^\\ud83d\\ude42.$", "🙂🙂", "🙂"],
  ["^\\$\\{[a-z]+\\}$", "${abc}", "${}"],
  ["^\\.\\*\\/\\\\$", ".*/\\", ".*/"],
])("%s has %s, not %s", (pattern, yes, no) => {
  const ours = accepted(parseRegex(pattern));
  expect([ours(yes), ours(no)]).toEqual([true, false]);
});

test.each([
  ["(?=a)b", "looking ahead or behind"],
  ["(?!a)b", "looking ahead or behind"],
  ["(?<=a)b", "looking ahead or behind"],
  ["(?<!a)b", "looking ahead or behind"],
  ["\\bfoo\\b", "word boundary"],
  ["\\Bfoo", "word boundary"],
  ["(a)\\1", "reference to a group"],
  ["(?<n>a)\\k<n>", "reference to a group"],
  ["a^b", "^ inside"],
  ["a$b", "$ inside"],
  ["a(^b)", "^ or $ inside"],
  ["(a$)*", "^ or $ inside"],
  ["(", "Invalid regular expression"],
  ["[b-a]", "Invalid regular expression"],
])("%s is refused in words", (pattern, words) => {
  expect(() => parseRegex(pattern)).toThrow(RegexError);
  expect(() => parseRegex(pattern)).toThrow(words);
});

test("nothing that is repeated may be empty, or following it would have no end", () => {
  const walk = (part: Part): void => {
    if (part.kind === "repeat") expect(isNullable(part.part)).toBe(false);
    const inner = part.kind === "seq" ? part.parts : part.kind === "choice" ? part.options : [];
    [...inner, ...(part.kind === "repeat" ? [part.part] : [])].forEach(walk);
  };
  walk(choice(...["(a*)*", "((a|)b?)+", "((a?){3}){2,}", "(|)*"].map(parseRegex)));
});
