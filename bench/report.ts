// report: README's table of figures and bench/results/shares.svg, drawn from bench/results: of every case the newest row
// of each adapter.    npm run bench -- report
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../engine/root.ts";
import { readRows, resultsFolder, type Origin, type Row } from "./results.ts";

const [begin, end] = ["<!-- bench: begin -->", "<!-- bench: end -->"];

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
  const shares = newest(readRows().flatMap(shareOf));
  const file = join(packageRoot, "README.md");
  writeFileSync(file, withTable(readFileSync(file, "utf8"), tableOf(shares)));
  writeFileSync(join(resultsFolder, "shares.svg"), plotOf(shares));
  console.log(`${shares.length} figures`);
}

/** The text with the table between the markers. Errors: no markers. */
export function withTable(text: string, table: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md has no "${begin}" … "${end}"`);
  return `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`;
}

/** Of models, of mat-vec for one token and of matmul for 512: the rest is not for the front page. */
export function shareOf(row: Origin & Row): Share[] {
  const { adapter, date, commit, share } = row;
  if (typeof share !== "number") return [];
  const from = { adapter, date, commit, share };
  if (row.bench === "models") {
    const label = `${row["model"]} ${row["quant"]}, ${row["phase"]} ${row["tokens"]}`;
    return [{ ...from, label, figure: `${(row["tokensPerSecond"] as number).toFixed(1)} tokens/s` }];
  }
  const label = String(row["name"]);
  if (row.bench !== "kernels" || !/^(matvec \S+ \d+×\d+|matmul \S+ 512·\d+×\d+)$/.test(label)) return [];
  return [{ ...from, label, figure: `${(row["rate"] as number).toFixed(1)} ${row["unit"]}` }];
}

/** Rows come oldest first: the last of each label stays, in the order of the first. */
export function newest(shares: readonly Share[]): Share[] {
  return [...new Map(shares.map((share) => [`${share.adapter}: ${share.label}`, share])).values()];
}

export function tableOf(shares: readonly Share[]): string {
  const lines = shares.map(
    ({ adapter, label, figure, share, date, commit }) =>
      `| ${label} | ${figure} | ${percent(share)} | ${adapter} | ${date}, ${commit} |`,
  );
  const head = ["| what | figure | of the adapter's ceiling | adapter | measured |", "|---|---|---|---|---|"];
  return [...head, ...lines].join("\n");
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
