// Tool calls as a grammar, in the two forms that models are taught inside <tool_call>: Qwen's XML and Hermes' JSON.
// The counterpart of engine/text/toolcalls.ts, which reads them.
import type { Tool } from "../serve/types.ts";
import { parameterTypes } from "../text/coerce.ts";
import type { CallForm } from "../text/template-traits.ts";
import { choice, chars, literal, oneOf, optional, repeat, seq, textUntil, type Part } from "./grammar.ts";
import type { Flat } from "./flatten.ts";
import { SchemaReader, listedIn, type Rules } from "./schema.ts";
import { readTypes, wrong } from "./schemaKeywords.ts";
import { charsOf, whiteSpace } from "./ranges.ts";
import { bare, exactly } from "./strings.ts";

export const callOpen = "<tool_call>";
const callClose = "</tool_call>";
const valueClose = "\n</parameter>";

/** What would end a value, were it within: see valueEnd in engine/text/tool-xml.ts. */
const layout = repeat(chars(whiteSpace));
const early = choice(
  seq(literal("</parameter>"), layout, oneOf(["<parameter=", "</function>", callClose])),
  seq(literal("</function>"), layout, literal(callClose)),
);
/** Any text, and the closing tag. */
const anyText = textUntil(valueClose, { never: early });

/** A tool and its place in the request. */
export interface PlacedTool {
  tool: Tool;
  path: string;
}

/** One call of any of the tools, behind its opening tag. Errors: bad_request with the path of what cannot be written. */
export function callBody(tools: readonly PlacedTool[], form: CallForm, rules: Rules): Part {
  return choice(
    ...tools.map((placed) => (form === "xml" ? xmlCall(placed, rules) : jsonCall(placed, rules))),
  );
}

function jsonCall(placed: PlacedTool, rules: Rules): Part {
  const { name } = placed.tool.function;
  const { reader, flats } = parametersOf(placed, rules);
  const values = flats.map((flat) => reader.typed(flat, "object"));
  const head = literal(`\n{"name": ${JSON.stringify(name)}, "arguments": `);
  return seq(head, choice(...values), literal(`}\n${callClose}`));
}

function xmlCall(placed: PlacedTool, rules: Rules): Part {
  const { tool, path } = placed;
  const { name } = tool.function;
  if (/[<>\n]/.test(name))
    throw wrong(`${path}.name`, `this model's calls cannot name ${JSON.stringify(name)}`);
  const { reader, flats } = parametersOf(placed, rules);
  const bodies = flats.map((flat) => seq(...xmlParameters(reader, flat, tool)));
  return seq(literal(`\n<function=${name}>\n`), choice(...bodies), literal(`</function>\n${callClose}`));
}

/** The objects that a tool's parameters may be; a tool that names no properties takes none, unless it says so. */
function parametersOf({ tool, path }: PlacedTool, rules: Rules): { reader: SchemaReader; flats: Flat[] } {
  const { parameters, strict } = tool.function;
  const schema = parameters ?? {};
  const reader = new SchemaReader({ schema, path: `${path}.parameters`, strict: strict === true }, rules);
  const flats = reader
    .rootFlats()
    .filter((flat) => readTypes(flat.schema, flat.path)?.includes("object") ?? true)
    .map((flat) => ({ ...flat, schema: { properties: {}, additionalProperties: false, ...flat.schema } }));
  if (flats.length === 0) throw wrong(`${path}.parameters`, "expected the schema of an object");
  return { reader, flats };
}

function xmlParameters(reader: SchemaReader, flat: Flat, tool: Tool): Part[] {
  const named = reader.members(flat).map(({ name, required, schema, path, value }) => {
    if (/[>\n]|^\s|\s$/.test(name))
      throw wrong(path, `this model's calls cannot name ${JSON.stringify(name)}`);
    const flats = reader.flats(schema, path);
    const text = xmlValue(reader, flats, value, parameterTypes(tool, name));
    const part = seq(literal(`<parameter=${name}>\n`), text, literal("\n"));
    return required ? part : optional(part);
  });
  if (named.length > 0 || flat.schema["additionalProperties"] === false) return named;
  const name = seq(chars(charsOf(letters)), repeat(chars(charsOf(`${letters}0123456789-`)), 0, 63));
  return [repeat(seq(literal("<parameter="), name, literal(">\n"), anyText, literal("\n")))];
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

/** A value and its closing tag. Texts stand there as they are, all else as JSON: coerce.ts tells them apart by type. */
function xmlValue(
  reader: SchemaReader,
  flats: readonly Flat[],
  json: Part,
  types: ReadonlySet<string>,
): Part {
  const isAny = flats.some((flat) => !listedIn(flat) && !readTypes(flat.schema, flat.path));
  if (isAny) return anyText;
  if (!types.has("string")) return seq(json, literal(valueClose));
  const options = flats.map((flat) => bareText(reader, flat));
  return choice(...options);
}

/** The values of one alternative, a text as it is, each with the closing tag. */
function bareText(reader: SchemaReader, flat: Flat): Part {
  const types = readTypes(flat.schema, flat.path);
  const listed = listedIn(flat);
  if (listed) {
    const texts = listed.map((value) =>
      typeof value === "string" ? exactly(value, bare) : literal(JSON.stringify(value)),
    );
    return seq(choice(...texts), literal(valueClose));
  }
  const closed = types!.map((type) => {
    if (type !== "string") return seq(reader.typed(flat, type), literal(valueClose));
    const { pattern, format, minLength, maxLength } = flat.schema;
    const text = pattern === undefined && format === undefined ? undefined : reader.text(flat, bare);
    if (text) return seq(text, literal(valueClose));
    const [min, max] = [(minLength as number) ?? 0, (maxLength as number) ?? Infinity];
    return textUntil(valueClose, { min, max, never: early });
  });
  return choice(...closed);
}
