// The form of README's tables: one for each adapter.

export function byAdapter<T extends { adapter: string }>(
  all: readonly T[],
  head: readonly string[],
  cells: (one: T) => readonly string[],
): string {
  const adapters = [...new Set(all.map(({ adapter }) => adapter))];
  const line = (texts: readonly string[]) => `| ${texts.join(" | ")} |`;
  const tables = adapters.map((adapter) => {
    const lines = all.filter((one) => one.adapter === adapter).map((one) => line(cells(one)));
    return [`On ${adapter}:`, "", line(head), `|${"---|".repeat(head.length)}`, ...lines].join("\n");
  });
  return `\n${tables.join("\n\n")}\n`;
}
