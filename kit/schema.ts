// What the schema of settings says of one key, without a value to hold against it.

import * as v from "valibot";

/** A text that no message may show. */
export const Secret = v.pipe(
  v.string("expected a text"),
  v.nonEmpty("is empty"),
  v.metadata({ secret: true }),
);

export type Table = Record<string, unknown>;

/** What the kinds of schemas hold that we look into; those of a pipe are those of its first. */
interface Parts {
  type: string;
  wrapped?: v.GenericSchema;
  entries?: Record<string, v.GenericSchema>;
  item?: v.GenericSchema;
  value?: v.GenericSchema;
  options?: v.GenericSchema[];
}

/** The schema of a key of a table, or of a place in a list; undefined where there is none. */
export function inside(schema: v.GenericSchema | undefined, key: string): v.GenericSchema | undefined {
  for (const { entries, item, value } of choices(schema).map(partsOf)) {
    const found = entries && Object.hasOwn(entries, key) ? entries[key] : (item ?? value);
    if (found) return found;
  }
  return undefined;
}

export function holdsList(schema: v.GenericSchema | undefined): boolean {
  return choices(schema).some((one) => partsOf(one).type === "array");
}

/** Whether a text is meant, whatever it looks like. */
export function takesText(schema: v.GenericSchema | undefined): boolean {
  const types = choices(schema).map((one) => partsOf(one).type);
  return types.every((type) => type === "string" || type === "picklist");
}

/** Whether what stands there, or what it is a part of, is secret. */
export function isSecret(schema: v.GenericSchema | undefined, path: readonly string[]): boolean {
  if (choices(schema).some((one) => v.getMetadata(one)["secret"] === true)) return true;
  return schema !== undefined && path.length > 0 && isSecret(inside(schema, path[0]!), path.slice(1));
}

/** The paths of all keys that no schema of their table has. */
export function unknownKeys(schema: v.GenericSchema, value: unknown): (string | number)[][] {
  if (!isTable(value) && !Array.isArray(value)) return [];
  const isStrict = choices(schema).some((one) => partsOf(one).entries !== undefined);
  return Object.entries(value).flatMap(([key, each]) => {
    const its = inside(schema, key);
    if (its === undefined) return isStrict && isTable(value) ? [[key]] : [];
    return unknownKeys(its, each).map((path) => [key, ...path]);
  });
}

/** The paths of lists and dates where only a table is wanted: Valibot takes them for tables. */
export function noTables(schema: v.GenericSchema | undefined, value: unknown): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [];
  const kinds = choices(schema).map(partsOf);
  const wantsTable = kinds.length > 0 && kinds.every(({ entries, value: of }) => entries ?? of);
  if (wantsTable && !isTable(value)) return [[]];
  return Object.entries(value).flatMap(([key, each]) =>
    noTables(inside(schema, key), each).map((path) => [key, ...path]),
  );
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** The schemas of which a value satisfies one, none of them optional. */
function choices(schema: v.GenericSchema | undefined): v.GenericSchema[] {
  if (schema === undefined) return [];
  const { wrapped, type, options = [] } = partsOf(schema);
  if (wrapped) return choices(wrapped);
  return type === "union" ? options.flatMap(choices) : [schema];
}

function partsOf(schema: v.GenericSchema): Parts {
  return schema as unknown as Parts;
}
