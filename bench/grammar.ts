// grammar: processor time to hold an answer to a schema, with a checkpoint's own tokens. "reading" is the schema's way
// to a grammar, on the main thread; "first" all masks of the answer below, on the device's thread while the device
// computes, when nothing is known yet; "again" the same for the next request. A step of the device is the wall: masks
// that take less cost nothing.      npm run bench -- grammar FOLDER
import { Grammars } from "../engine/grammar/matcher.ts";
import { schemaGrammar } from "../engine/grammar/schema.ts";
import { tokenTree, vocabularyOf } from "../engine/grammar/vocabulary.ts";
import { loadTokenizer } from "../engine/text/tokenizer.ts";
import { commit } from "./commit.ts";

const fields = Array.from({ length: 300 }, (_, i) => [
  `field_${i}`,
  { type: "object", properties: { a: { type: "string" }, b: { enum: ["q", "r"] } }, required: ["a"] },
]);

/** A schema and an answer to it. */
const cases: [string, unknown, string][] = [
  [
    "an object",
    {
      type: "object",
      properties: {
        name: { type: "string" },
        age: { type: "integer" },
        tags: { type: "array", items: { type: "string" } },
      },
    },
    '{"name": "John Smith of somewhere", "age": 123, "tags": ["a tag here", "and one more"]}',
  ],
  ["any value", {}, '{"a": [1, 2, {"b": "some text here"}], "c": null}'],
  [
    "maxLength 1000",
    { type: "string", maxLength: 1000 },
    `"${"The quick brown fox jumps over the lazy dog. ".repeat(12)}"`,
  ],
  ["a pattern", { type: "string", pattern: "^([A-Z][a-z]{2,30} ){3}[0-9]{4}$" }, '"Hello World Again 1234"'],
  ["an email", { type: "string", format: "email" }, '"john.smith@example.com"'],
  [
    "300 optional fields",
    { type: "object", properties: Object.fromEntries(fields) },
    '{"field_3": {"a": "text"}, "field_299": {"a": "x", "b": "q"}}',
  ],
  [
    "an enum of 5000",
    { enum: Array.from({ length: 5000 }, (_, i) => `value number ${i}`) },
    '"value number 4321"',
  ],
];

export async function grammar(folder: string): Promise<void> {
  const tokenizer = await loadTokenizer(folder);
  const vocabulary = vocabularyOf(tokenizer);
  const tree = await cpu(() => tokenTree(vocabulary));
  console.log(
    `${tokenizer.vocabSize} tokens, ${tree.value.byte.length} nodes: ${tree.ms.toFixed(0)} ms, once a model`,
  );
  const grammars = new Grammars(vocabulary, tokenizer.vocabSize);
  grammars.open({ key: "", grammar: schemaGrammar(place({})) }).allowed(); // the tree, and the compiler's warm-up
  const rows = [];
  for (const [name, schema, answer] of cases) {
    const ids = tokenizer.encode(answer, { special: false });
    const read = await cpu(() => schemaGrammar(place(schema)));
    let worst = 0;
    const follow = () => {
      const matcher = grammars.open({ key: name, grammar: read.value });
      for (const id of ids) {
        const since = performance.now();
        const mask = matcher.allowed();
        worst = Math.max(worst, performance.now() - since);
        if (((mask[id >> 5]! >>> (id & 31)) & 1) === 0) throw new Error(`${name}: token ${id} is refused`);
        matcher.accept(id);
      }
    };
    const first = await cpu(follow);
    const slowest = worst;
    const again = await cpu(follow);
    rows.push({ name, tokens: ids.length, reading: read.ms, first: first.ms, slowest, again: again.ms });
  }
  console.table(
    rows.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [
          key,
          typeof value === "number" ? Number(value.toFixed(1)) : value,
        ]),
      ),
    ),
  );
  console.log(
    JSON.stringify({
      bench: "grammar",
      commit: commit(),
      tokens: tokenizer.vocabSize,
      treeMs: tree.ms,
      rows,
    }),
  );
}

const place = (schema: unknown) => ({ schema, path: "schema", strict: true });

async function cpu<T>(work: () => T): Promise<{ value: T; ms: number }> {
  await new Promise((resolve) => setImmediate(resolve));
  const since = process.cpuUsage();
  const value = work();
  const { user, system } = process.cpuUsage(since);
  return { value, ms: (user + system) / 1000 };
}
