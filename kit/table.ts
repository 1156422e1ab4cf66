/** Columns as wide as their widest cell, two spaces between them; an empty cell is a dash. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const filled = rows.map((row) => row.map((cell) => cell || "-"));
  const widths = head.map((_, i) => Math.max(...[head, ...filled].map((row) => row[i]!.length)));
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ");
  return [head, ...filled].map((row) => line(row).trimEnd());
}

/** A text as far as a terminal has columns and rows for it: what wraps, or scrolls away, is not written over. */
export function fitted(
  text: string,
  { columns = 80, rows = 24 }: { columns?: number; rows?: number },
): string {
  const lines = text.split("\n").map((line) => line.slice(0, columns - 1));
  return lines.slice(0, rows - 1).join("\n");
}
