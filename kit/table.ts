/** Columns as wide as their widest cell, two spaces between them; an empty cell is a dash. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const filled = rows.map((row) => row.map((cell) => cell || "-"));
  const widths = head.map((_, i) => Math.max(...[head, ...filled].map((row) => row[i]!.length)));
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ");
  return [head, ...filled].map((row) => line(row).trimEnd());
}
