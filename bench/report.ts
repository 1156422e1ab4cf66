// report: README's tables and bench/results/shares.svg, drawn from bench/results: of every case the newest row of each
// adapter as a share of its ceiling, and what ran beside peers.    npm run bench -- report
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../engine/root.ts";
import type { Phase } from "./models.ts";
import { comparisonOf, newestRuns, peerTable } from "./reportPeers.ts";
import { byAdapter } from "./reportTable.ts";
import { readRows, resultsFolder, type Origin, type Row } from "./results.ts";

/** One measured share of a ceiling. */
interface Share {
  adapter: string;
  label: string;
  share: number;
  figure: string;
  date: string;
  commit: string;
}

export function report(): void {
  const rows = readRows();
  const ofModels = ({ bench }: Origin) => bench === "models";
  const inOrder = [...rows.filter(ofModels), ...rows.filter((row) => !ofModels(row))];
  const shares = newest(inOrder.flatMap(shareOf));
  const file = join(packageRoot, "README.md");
  const cases = newestRuns(inOrder.flatMap(comparisonOf));
  const withShares = withTable(readFileSync(file, "utf8"), "bench", tableOf(shares));
  writeFileSync(file, withTable(withShares, "peers", peerTable(cases)));
  writeFileSync(join(resultsFolder, "shares.svg"), plotOf(shares));
  console.log(`${shares.length} figures, ${cases.length} beside peers`);
}

/** The text with the table between the markers of its name. Errors: no markers. */
export function withTable(text: string, name: string, table: string): string {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md has no "${begin}" … "${end}"`);
  return `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`;
}

/** Kernels of the front page; the rest is in docs/performance.md. */
const shown = /^(matvec (bf16|q8_0|q4_0|q4_k) 6144×1024|matmul (bf16|q8_0|q4_0|q4_k) 512·1024×3072)$/;

/** Runs of fewer tokens were made for slow peers, beside which they are shown. */
const shortest: Readonly<Record<Phase, number>> = { decode: 32, prefill: 64 };

/** Of models, of mat-vec for one token and of matmul for 512. */
export function shareOf(row: Origin & Row): Share[] {
  const { adapter, date, commit, share } = row;
  if (typeof share !== "number") return [];
  const from = { adapter, date, commit, share };
  if (row.bench === "models") {
    if ((row["tokens"] as number) < shortest[row["phase"] as Phase]) return [];
    const label = `${row["model"]} ${row["quant"]}, ${row["phase"]} ${row["tokens"]}`;
    return [{ ...from, label, figure: `${(row["tokensPerSecond"] as number).toFixed(1)} tokens/s` }];
  }
  const label = String(row["name"]);
  if (row.bench !== "kernels" || !shown.test(label)) return [];
  return [{ ...from, label, figure: `${(row["rate"] as number).toFixed(1)} ${row["unit"]}` }];
}

/** Rows come oldest first: of each label the last stays, in the order of the first. */
export function newest(shares: readonly Share[]): Share[] {
  return [...new Map(shares.map((share) => [`${share.adapter}: ${share.label}`, share])).values()];
}

/** A table an adapter, under its name. */
export function tableOf(shares: readonly Share[]): string {
  return byAdapter(shares, ["what", "figure", "of the ceiling", "measured"], (share) => [
    ...[share.label, share.figure, percent(share.share), `${share.date}, ${share.commit}`],
  ]);
}

const [rowHeight, labelWidth, barWidth] = [18, 330, 360];

/** A bar a share; the whole width is the ceiling. */
export function plotOf(shares: readonly Share[]): string {
  const bars = shares.map(({ label, share, figure }, i) => {
    const y = i * rowHeight;
    const width = Math.min(1, share) * barWidth;
    return [
      `<text x="${labelWidth - 6}" y="${y + 13}" text-anchor="end">${escaped(label)}</text>`,
      `<rect x="${labelWidth}" y="${y + 2}" width="${barWidth}" height="${rowHeight - 4}" fill="#e8e8e8"/>`,
      `<rect x="${labelWidth}" y="${y + 2}" width="${width.toFixed(1)}" height="${rowHeight - 4}" fill="#4477aa"/>`,
      `<text x="${labelWidth + barWidth + 6}" y="${y + 13}">${percent(share)}, ${escaped(figure)}</text>`,
    ].join("");
  });
  const size = `width="${labelWidth + barWidth + 170}" height="${shares.length * rowHeight}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="12">\n${bars.join("\n")}\n</svg>\n`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
