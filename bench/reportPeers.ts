// README's table of peers: of every case that ran in turn with another engine, the runs at the newest commit.
import { byAdapter } from "./reportTable.ts";
import type { Origin, Row } from "./results.ts";
import { median } from "./median.ts";

/** One run of a case beside a peer: its own median over the alternations. */
export interface Comparison {
  adapter: string;
  peer: string;
  label: string;
  /** How many times faster ours is. */
  ratio: number;
  ours: number;
  theirs: number;
  unit: string;
  date: string;
  commit: string;
}

/** Formats of single products whose name alone does not tell what was compared. */
const products: Readonly<Record<string, string>> = { q4: "q4, x in floats there", q4_i8: "q4, x in 8 bits" };

/** Of models and of single products; nothing of a row that no peer ran beside. */
export function comparisonOf(row: Origin & Row): Comparison[] {
  const { adapter, date, commit, peer, ratio } = row;
  if (typeof ratio !== "number" || typeof peer !== "string") return [];
  const from = { adapter, date, commit, peer, ratio };
  if (row.bench === "models") {
    const label = `${row["model"]} ${row["quant"]}, ${row["phase"]} ${row["tokens"]}`;
    const [ours, theirs] = [row["tokensPerSecond"], row["peerTokensPerSecond"]] as number[];
    return [{ ...from, label, ours: ours!, theirs: theirs!, unit: "tokens/s" }];
  }
  if (row.bench !== "matmuls") return [];
  const format = String(row["format"]);
  const label = `product ${row["rows"]}·1024×3072 ${products[format] ?? format}`;
  const [ours, theirs] = [row["rate"], row["peerRate"]] as number[];
  return [{ ...from, label, ours: ours!, theirs: theirs!, unit: String(row["unit"]) }];
}

/** Rows come oldest first: the runs of each adapter, peer and case at the commit that was measured last. */
export function newestRuns(all: readonly Comparison[]): Comparison[][] {
  const kept = new Map<string, Comparison[]>();
  for (const one of all) {
    const key = JSON.stringify([one.adapter, one.peer, one.label]);
    const before = kept.get(key) ?? [];
    kept.set(key, before[0]?.commit === one.commit ? [...before, one] : [one]);
  }
  return [...kept.values()];
}

/** Peers together, in the order in which they first came. */
export function peerTable(cases: readonly Comparison[][]): string {
  const peers = [...new Set(cases.map((runs) => runs[0]!.peer))];
  const inOrder = peers.flatMap((peer) => cases.filter((runs) => runs[0]!.peer === peer));
  return byAdapter(
    inOrder.map((runs) => ({ ...runs[0]!, runs })),
    ["beside", "case", "times as fast", "ours", "theirs", "measured"],
    ({ peer, label, unit, runs, date, commit }) => [
      ...[peer, label, spread(runs.map(({ ratio }) => ratio))],
      ...[runs.map((run) => run.ours), runs.map((run) => run.theirs)].map(
        (all) => `${figure(median(all))} ${unit}`,
      ),
      `${date}, ${commit}`,
    ],
  );
}

function spread(ratios: readonly number[]): string {
  const ends = [Math.min(...ratios), Math.max(...ratios)].map(figure).join(" to ");
  return `**${figure(median(ratios))}**${ratios.length > 1 ? ` (${ratios.length} runs, ${ends})` : ""}`;
}

function figure(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1);
}
