// Set fields at the top level of a JSON object and leave every other byte as it came: numbers keep their digits,
// keys their order. Parsing and printing again would not (a 64-bit seed, 1.0, a repeated key).
// The text must already have passed JSON.parse.

interface Field {
  key: string;
  /** Where the value lies: text.slice(start, end). */
  start: number;
  end: number;
}

/** The object in `text` with each field of `values` replaced where it stands, or put first where it is missing. */
export function setFields(text: string, values: Readonly<Record<string, unknown>>): string {
  const fields = topLevelFields(text);
  let out = "";
  let copied = 0;
  for (const { key, start, end } of fields) {
    if (!Object.hasOwn(values, key)) continue;
    out += text.slice(copied, start) + JSON.stringify(values[key]);
    copied = end;
  }
  out += text.slice(copied);
  const missing = Object.keys(values).filter((key) => !fields.some((field) => field.key === key));
  if (missing.length === 0) return out;
  const added = missing.map((key) => `${JSON.stringify(key)}:${JSON.stringify(values[key])}`).join(",");
  const open = out.indexOf("{") + 1;
  return out.slice(0, open) + added + (fields.length > 0 ? "," : "") + out.slice(open);
}

/** The text of the value that begins at `start`, an object, array, string or literal. */
export function valueAt(text: string, start: number): string {
  return text.slice(start, endOfValue(text, start));
}

function topLevelFields(text: string): Field[] {
  const fields: Field[] = [];
  let at = skipSpace(text, text.indexOf("{") + 1);
  while (text[at] === '"') {
    const keyEnd = endOfString(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1); // beyond the colon
    const end = endOfValue(text, start);
    fields.push({ key, start, end });
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return fields;
}

function endOfValue(text: string, start: number): number {
  if (text[start] === '"') return endOfString(text, start);
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') i = endOfString(text, i) - 1;
    else if (c === "{" || c === "[") depth++;
    else if (c === "}" || c === "]") {
      if (depth === 0) return i; // the end of what holds a bare number or literal
      if (--depth === 0) return i + 1;
    } else if (depth === 0 && (c === "," || isSpace(c))) return i;
  }
  return text.length;
}

function endOfString(text: string, open: number): number {
  for (let i = text.indexOf('"', open + 1); i !== -1; i = text.indexOf('"', i + 1)) {
    let slashes = 0;
    while (text[i - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return i + 1;
  }
  return text.length;
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && isSpace(text[at]!)) at++;
  return at;
}

function isSpace(c: string): boolean {
  return c === " " || c === "\n" || c === "\r" || c === "\t";
}
