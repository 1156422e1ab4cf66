// Jinja as Hugging Face chat templates use it. @huggingface/jinja does the work; what it does otherwise than Python,
// and real templates rely on, is set right here by rewriting calls in the parsed template:
//   strip, lstrip, rstrip with the characters to strip (it strips white space whatever they say)
//   the `string` filter on None, True and containers (it fails, or writes them as JSON)
// and its clock, which speaks the machine's language, is replaced by an English one.

import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";

/** What a template says by raise_exception. */
export class TemplateRefusal extends Error {}

/** Names that are there before any variable: a caller may not set them. */
export const globalNames: readonly string[] = [
  ...["true", "false", "none", "True", "False", "None"],
  ...["raise_exception", "range", "strftime_now", "namespace"],
];

export type Render = (variables: Readonly<Record<string, unknown>>, now: Date) => string;

/** Throws a SyntaxError for a template that is not Jinja; the render throws TemplateRefusal or any other error. */
export function compileTemplate(source: string): Render {
  const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  rewrite(program);
  return (variables, now) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...builtins(now), ...variables }))
      environment.set(name, value);
    return String(new Interpreter(environment).run(program).value);
  };
}

function builtins(now: Date): Record<string, unknown> {
  return {
    ...{ true: true, True: true, false: false, False: false, none: null, None: null },
    raise_exception: (message: unknown) => {
      throw new TemplateRefusal(String(message));
    },
    range,
    strftime_now: (format: string) => strftime(now, format),
    [STRIP]: strip,
    [STRING]: pythonString,
  };
}

// Names that no template can write.
const STRIP = "strip()";
const STRING = "string()";

interface Node {
  type: string;
  [key: string]: unknown;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value;
}

/** Turns `x.strip(c)` into a call of our strip(x, "strip", c), and `x | string` into our string(x), everywhere. */
function rewrite(value: unknown): void {
  if (Array.isArray(value)) value.forEach(rewrite);
  else if (value instanceof Map) [...value].forEach(rewrite);
  else if (isNode(value)) {
    if (value.type === "CallExpression") rewriteStrip(value);
    if (value.type === "FilterExpression") rewriteString(value);
    Object.values(value).forEach(rewrite);
  }
}

function rewriteStrip(call: Node): void {
  const callee = call.callee as Node;
  const args = call.args as unknown[];
  if (callee.type !== "MemberExpression" || callee.computed || args.length === 0) return;
  const method = (callee.property as Node).value;
  if (method !== "strip" && method !== "lstrip" && method !== "rstrip") return;
  call.callee = { type: "Identifier", value: STRIP };
  call.args = [callee.object, { type: "StringLiteral", value: method }, ...args];
}

function rewriteString(filter: Node): void {
  const name = filter.filter as Node;
  if (name.type !== "Identifier" || name.value !== "string") return;
  const { operand } = filter;
  for (const key of Object.keys(filter)) Reflect.deleteProperty(filter, key);
  const callee = { type: "Identifier", value: STRING };
  // In a list, because functions get bare values otherwise, and None and undefined look the same bare.
  Object.assign(filter, {
    type: "CallExpression",
    callee,
    args: [{ type: "ArrayLiteral", value: [operand] }],
  });
}

function strip(text: unknown, method: string, characters: unknown): string {
  if (typeof text !== "string") throw new Error(`${method}() is a method of strings`);
  const set = typeof characters === "string" ? new Set(characters) : undefined;
  const drops = (character: string) => (set ? set.has(character) : character.trim() === "");
  const all = [...text];
  let start = 0;
  let end = all.length;
  if (method !== "rstrip") while (start < end && drops(all[start]!)) start++;
  if (method !== "lstrip") while (end > start && drops(all[end - 1]!)) end--;
  return all.slice(start, end).join("");
}

/** A value as the library keeps it. */
interface Box {
  type: string;
  value: unknown;
}

/** str(value) as Python has it.   Takes a list of the one value. */
function pythonString([box]: readonly Box[]): string {
  return box!.type === "StringValue" ? String(box!.value) : representation(box!);
}

function representation(box: Box): string {
  const { type, value } = box;
  if (type === "NullValue") return "None";
  if (type === "UndefinedValue") return "";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${(value as Box[]).map(representation).join(", ")}]`;
  if (!(value instanceof Map)) return String(box); // a number, which knows 1.0 from 1
  const members = [...(value as Map<string, Box>)].map(
    ([key, item]) => `${quoted(key)}: ${representation(item)}`,
  );
  return `{${members.join(", ")}}`;
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r")
    .replaceAll("\t", "\\t");
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, end] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new Error("range() step must not be zero");
  const length = Math.max(0, Math.ceil((end - start) / step));
  return Array.from({ length }, (_, i) => start + i * step);
}

const months = "January February March April May June July August September October November December".split(
  " ",
);
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** Python's strftime in local time and English; a `-` behind the % drops a leading zero. */
function strftime(date: Date, format: string): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const month = months[date.getMonth()]!;
  const day = days[date.getDay()]!;
  const hour12 = date.getHours() % 12 || 12;
  const fields: Record<string, string> = {
    ...{ Y: String(date.getFullYear()), y: two(date.getFullYear() % 100), m: two(date.getMonth() + 1) },
    ...{ d: two(date.getDate()), e: String(date.getDate()).padStart(2), B: month, b: month.slice(0, 3) },
    ...{ A: day, a: day.slice(0, 3), H: two(date.getHours()), I: two(hour12), M: two(date.getMinutes()) },
    ...{ S: two(date.getSeconds()), p: date.getHours() < 12 ? "AM" : "PM", "%": "%" },
  };
  fields.F = `${fields.Y}-${fields.m}-${fields.d}`;
  fields.T = `${fields.H}:${fields.M}:${fields.S}`;
  return format.replace(/%(-?)([A-Za-z%])/g, (whole, dash: string, letter: string) => {
    const field = fields[letter];
    if (field === undefined) throw new Error(`strftime_now: ${whole} is not known`);
    return dash ? field.replace(/^[0 ]/, "") : field;
  });
}
