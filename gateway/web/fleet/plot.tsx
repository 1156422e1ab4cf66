// A small plot over the last minutes. Numbers stand beside the drawing, so that it may stretch as it likes.

import { useState } from "preact/hooks";
import { number, seconds } from "../view/words.ts";
import type { Point } from "./history.ts";
import { spanOf } from "./history.ts";
import { nearest, niceTop, runs } from "./scale.ts";

export interface Series {
  name: string;
  points: readonly Point[];
}

export interface PlotProps {
  title: string;
  unit: string;
  /** The first is the main one. */
  series: readonly [Series, ...Series[]];
  /** Whole numbers only. */
  whole?: boolean;
}

const [width, height] = [400, 100];

export function Plot({ title, unit, series, whole = false }: PlotProps) {
  const [pointer, setPointer] = useState<number>();
  const all = series.flatMap(({ points }) => points);
  const now = Math.max(0, ...all.map(({ at }) => at));
  const top = niceTop(Math.max(whole ? 1 : 0, ...all.map(({ value }) => value ?? 0)));
  const frame = { now, top, span: spanOf(all) };
  const shown = series.map(({ name, points }) => ({ name, point: nearest(points, pointer ?? 1, frame) }));
  const words = shown.map(({ name, point }) => {
    const value = point?.value === undefined ? "–" : `${number(point.value)}${unit && ` ${unit}`}`;
    return { name, value };
  });
  const ago = pointer === undefined ? undefined : now - (shown[0]?.point?.at ?? now);
  const onMove = ({ currentTarget, clientX }: { currentTarget: Element; clientX: number }) => {
    const { left, width: wide } = currentTarget.getBoundingClientRect();
    setPointer((clientX - left) / wide);
  };
  return (
    <figure class="plot">
      <figcaption>
        <span>{title}</span>
        <span class="now">
          {words.map(({ name, value }, i) => (
            <span key={name} class={`value series-${i}`}>
              {series.length > 1 && <span class="soft">{name}</span>} <strong>{value}</strong>
            </span>
          ))}
        </span>
      </figcaption>
      <div class="drawing" onPointerMove={onMove} onPointerLeave={() => setPointer(undefined)}>
        <span class="top soft">{number(top)}</span>
        <svg
          {...{ viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" }}
          aria-label={`${title}: ${words.map(({ name, value }) => `${name} ${value}`).join(", ")}`}
        >
          <path class="grid" d={`M0 0H${width}M0 ${height / 2}H${width}M0 ${height}H${width}`} />
          {series.map(({ name, points }, i) => (
            <g key={name} class={`series-${i}`}>
              {i === 0 && <path class="area" d={areas(points, frame)} />}
              <path class="line" d={lines(points, frame)} />
              <path class="line lone" d={dots(points, frame)} />
            </g>
          ))}
        </svg>
      </div>
      <div class="ends soft">
        <span>{Math.round(frame.span / 60_000)} min ago</span>
        <span>{ago === undefined || ago < 1000 ? "now" : `${seconds(ago)} ago`}</span>
      </div>
    </figure>
  );
}

type Frame = Parameters<typeof runs>[1];

function path(run: readonly [number, number][]): string {
  return run.map(([x, y]) => `${(x * width).toFixed(1)} ${(y * height).toFixed(1)}`).join("L");
}

function lines(points: readonly Point[], frame: Frame): string {
  return runs(points, frame)
    .map((run) => `M${path(run)}`)
    .join("");
}

/** Points that stand alone, as lines to themselves: their round ends are all there is. */
function dots(points: readonly Point[], frame: Frame): string {
  return runs(points, frame)
    .filter((run) => run.length === 1)
    .map((run) => `M${path(run)}h0`)
    .join("");
}

function areas(points: readonly Point[], frame: Frame): string {
  return runs(points, frame)
    .map((run) => `M${(run[0]![0] * width).toFixed(1)} ${height}L${path(run)}V${height}Z`)
    .join("");
}
