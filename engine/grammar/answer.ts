// The grammar of a whole answer: thoughts, where the model thinks; then what the request asks for.
import { createHash } from "node:crypto";
import { EngineError } from "../errors.ts";
import type { ResponseFormat, Tool, ToolChoice } from "../serve/types.ts";
import type { CallForm } from "../text/template-traits.ts";
import { callOpenings } from "../text/toolcalls.ts";
import { callBody, callOpen, type PlacedTool } from "./calls.ts";
import {
  choice,
  isNothing,
  literal,
  optional,
  pruned,
  repeat,
  seq,
  textUntil,
  textWithout,
  type NamedGrammar,
  type Part,
} from "./grammar.ts";
import { anyObject } from "./json.ts";
import { Rules, SchemaReader } from "./schema.ts";
import { wrong } from "./schemaKeywords.ts";

export interface AnswerWishes {
  format: ResponseFormat | undefined;
  tools: readonly Tool[];
  choice: ToolChoice;
  /** More than one call in an answer. */
  parallel: boolean;
}

/** How the model of this prompt answers. */
export interface AnswerForm {
  /** How it calls tools; undefined where its template does not show it. */
  calls: CallForm | undefined;
  thoughts: Thoughts | undefined;
  /** Decoding drops a space at the start. */
  dropsFirstSpace: boolean;
}

/** The markers of thoughts. `begins`: the prompt has opened them, the model may, or they are over. */
export interface Thoughts {
  open: string;
  close: string;
  begins: "open" | "maybe" | "closed";
}

/** Calls of one answer: a model at a high temperature might not stop by itself. */
const mostCalls = 64;

/** What holds the answer to the wishes; undefined where they leave it free. Errors: bad_request with a path. */
export function answerGrammar(wishes: AnswerWishes, form: AnswerForm): NamedGrammar | undefined {
  try {
    return wishedGrammar(wishes, form);
  } catch (error) {
    // Values nested thousands deep, such as an example in a schema, end at the stack's end.
    if (!(error instanceof RangeError)) throw error;
    throw wrong(wishes.format ? "response_format" : "tools", `too large to be followed: ${error.message}`);
  }
}

function wishedGrammar(wishes: AnswerWishes, form: AnswerForm): NamedGrammar | undefined {
  const rules = new Rules();
  const body = bodyOf(wishes, form, rules);
  if (!body) return undefined;
  const thought = withThoughts(body, wishes, form);
  const root = form.dropsFirstSpace ? seq(optional(literal(" ")), thought) : thought;
  const grammar = pruned({ root, rules: rules.map });
  if (isNothing(grammar.root)) throw wrong(schemaPath, "no value satisfies this schema");
  return {
    key: createHash("sha256")
      .update(JSON.stringify([wishes, form]))
      .digest("base64"),
    grammar,
  };
}

const schemaPath = "response_format.json_schema.schema";

function bodyOf(wishes: AnswerWishes, form: AnswerForm, rules: Rules): Part | undefined {
  const { format, tools, choice: chosen, parallel } = wishes;
  const value = format && formatted(format, rules);
  if (tools.length === 0) return value;
  const placed = tools.map((tool, i) => ({ tool, path: `tools.${i}.function` }));
  if (chosen !== "auto") return calls(chosenTools(placed, chosen), wishes, form, rules);
  if (value) return choice(value, calls(placed, wishes, form, rules));
  const isFree = parallel && !tools.some((tool) => tool.function.strict);
  return isFree ? undefined : callsAmongText(placed, wishes, form, rules);
}

function formatted(format: ResponseFormat, rules: Rules): Part {
  if (format.type === "json_object") return anyObject;
  return new SchemaReader({ schema: format.schema, path: schemaPath, strict: format.strict }, rules).root();
}

function chosenTools(tools: readonly PlacedTool[], chosen: ToolChoice): readonly PlacedTool[] {
  if (typeof chosen === "string") return tools;
  const found = tools.filter(({ tool }) => tool.function.name === chosen.name);
  if (found.length === 0)
    throw wrong("tool_choice.function.name", `there is no tool ${JSON.stringify(chosen.name)}`);
  return found;
}

/** Nothing but calls. */
function calls(tools: readonly PlacedTool[], wishes: AnswerWishes, form: AnswerForm, rules: Rules): Part {
  const body = bodyOfCall(tools, wishes, form, rules);
  const more = repeat(seq(literal(`\n${callOpen}`), body), 0, wishes.parallel ? mostCalls - 1 : 0);
  return seq(literal(callOpen), body, more);
}

/** Text, and calls where the model makes some. */
function callsAmongText(
  tools: readonly PlacedTool[],
  wishes: AnswerWishes,
  form: AnswerForm,
  rules: Rules,
): Part {
  // A call that lacks its opening tag would be read as one all the same.
  const unopened = tools.map(({ tool }) => `<function=${tool.function.name}>`);
  const call = seq(textUntil(callOpen, { without: unopened }), bodyOfCall(tools, wishes, form, rules));
  const text = textWithout([callOpen, ...unopened]);
  return wishes.parallel ? seq(repeat(call, 0, mostCalls), text) : choice(call, text);
}

function bodyOfCall(
  tools: readonly PlacedTool[],
  { choice: chosen }: AnswerWishes,
  form: AnswerForm,
  rules: Rules,
): Part {
  if (form.calls) return callBody(tools, form.calls, rules);
  const param = chosen === "auto" ? "tools" : "tool_choice";
  const message = "this model's chat template shows no form of tool calls that could be enforced";
  throw new EngineError("unsupported_parameter", `${param}: ${message}`, { param });
}

function withThoughts(body: Part, { tools }: AnswerWishes, { thoughts }: AnswerForm): Part {
  if (!thoughts || thoughts.begins === "closed") return body;
  // The stream takes a call among thoughts for the end of them.
  const without = tools.length > 0 ? callOpenings : [];
  const rest = seq(textUntil(thoughts.close, { without }), repeat(literal("\n"), 0, 2), body);
  if (thoughts.begins === "open") return rest;
  return choice(body, seq(repeat(literal("\n"), 0, 1), literal(thoughts.open), rest));
}
