// Rows into tiles of a texture. They are put in order straight into memory that the device copies from. Of a texture
// that is not large all rows are gathered, and copied at once: then Dawn need not clear it first, which costs as much
// as the copy. A large one is cleared, and written piece by piece.
import type { Gpu } from "./adapter.ts";
import { freeStages, memoryOf, sendStage, takeStage } from "./stages.ts";
import { mostGathered, quadBytes, regionsOf, texels, type Region, type TileLayout } from "./tiles.ts";

/** Of all textures of a device that lack rows: files may have rows of many weights by turns. */
const mostOpen = 64 << 20;

interface Gathering {
  readonly stage: GPUBuffer;
  readonly layout: TileLayout;
  readonly there: Region[];
  /** Rows that are not there. */
  left: number;
}

interface Writing {
  readonly open: Map<GPUTexture, Gathering>;
  /** Textures that have been written. */
  readonly begun: WeakSet<GPUTexture>;
}

const writing = new WeakMap<GPUDevice, Writing>();

/**
 * Whole rows, from row `first` on. The device has them when the last row of the texture was written, or `finishTiles`
 * was called.
 */
export function writeTiles(
  gpu: Gpu,
  tiles: GPUTexture,
  first: number,
  rows: Uint8Array,
  layout: TileLayout,
): void {
  const source = wordsOf(rows);
  const regions = regionsOf(first, rows.byteLength / layout.rowBytes, layout);
  if (!gather(gpu, tiles, source, regions, layout)) writePieces(gpu, tiles, source, regions);
}

/** Has the device take what was written of textures that lack rows, and gives back the memory for writing. */
export function finishTiles(gpu: Gpu): void {
  for (const tiles of writing.get(gpu.device)?.open.keys() ?? []) giveUp(gpu, tiles);
  freeStages(gpu);
}

/** Quads are copied as words: a call for 16 bytes takes longer. */
function wordsOf(rows: Uint8Array): Uint32Array {
  const aligned = rows.byteOffset % 4 === 0 ? rows : rows.slice();
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

/** False where the texture's rows are not gathered, with nothing written. */
function gather(
  gpu: Gpu,
  tiles: GPUTexture,
  source: Uint32Array,
  regions: readonly Region[],
  layout: TileLayout,
): boolean {
  const gathering = gatheringOf(gpu, tiles, layout);
  if (!gathering) return false;
  for (const region of regions) {
    const memory = memoryOf(gathering.stage, region.at * quadBytes, region.quads * quadBytes);
    if (!memory) {
      giveUp(gpu, tiles);
      return false;
    }
    fill(memory, source, region);
    gathering.there.push(region);
  }
  gathering.left -= (4 * source.length) / layout.rowBytes;
  if (gathering.left === 0) complete(gpu, tiles, gathering);
  return true;
}

function gatheringOf(gpu: Gpu, tiles: GPUTexture, layout: TileLayout): Gathering | undefined {
  const { open, begun } = writingOf(gpu);
  const known = open.get(tiles);
  if (known || begun.has(tiles)) return known;
  begun.add(tiles);
  const bytes = bytesOf(tiles);
  const others = [...open.keys()].reduce((sum, other) => sum + bytesOf(other), 0);
  if (bytes > mostGathered || others + bytes > mostOpen) return undefined;
  const gathering = { stage: takeStage(gpu, bytes), layout, there: [], left: layout.rows };
  open.set(tiles, gathering);
  return gathering;
}

function complete(gpu: Gpu, tiles: GPUTexture, { stage, layout }: Gathering): void {
  const full = Math.ceil(layout.rows / layout.height) * layout.height;
  const end = (full * layout.rowBytes) / quadBytes;
  const rest = { at: end, quads: bytesOf(tiles) / quadBytes - end };
  for (const { at, quads } of [...regionsOf(layout.rows, full - layout.rows, layout), rest])
    if (quads > 0) memoryOf(stage, at * quadBytes, quads * quadBytes)?.fill(0);
  writingOf(gpu).open.delete(tiles);
  sendStage(gpu, stage, (encoder) => {
    encoder.copyBufferToTexture({ buffer: stage, bytesPerRow: texels * quadBytes }, { texture: tiles }, [
      tiles.width,
      tiles.height,
    ]);
  });
}

/** From now on its rows are no longer gathered. */
function giveUp(gpu: Gpu, tiles: GPUTexture): void {
  const { open } = writingOf(gpu);
  const { stage, there } = open.get(tiles)!;
  open.delete(tiles);
  sendStage(gpu, stage, (encoder) => {
    for (const { at, quads } of there)
      copyQuads(encoder, { buffer: stage, offset: at * quadBytes }, tiles, at, quads);
  });
}

function writePieces(gpu: Gpu, tiles: GPUTexture, source: Uint32Array, regions: readonly Region[]): void {
  const stage = takeStage(gpu, 4 * source.length);
  const memory = memoryOf(stage, 0, 4 * source.length);
  let to = 0;
  for (const region of regions) {
    const words = 4 * region.quads;
    if (memory) fill(memory.subarray(to, to + words), source, region);
    to += words;
  }
  sendStage(gpu, stage, (encoder) => {
    let offset = 0;
    for (const { at, quads } of regions) {
      copyQuads(encoder, { buffer: stage, offset }, tiles, at, quads);
      offset += quads * quadBytes;
    }
  });
}

/** What belongs to a region, of rows as they are. */
function fill(target: Uint32Array, source: Uint32Array, { runs }: Region): void {
  let to = 0;
  for (const { from, stride, count, words, side } of runs)
    for (let row = 0; row < count; row += side) {
      const first = from + row * stride;
      if (side === 1) copyWords(source, first, target, to, words);
      else interleave(source, first, stride, side, target, to, words);
      to += side * words;
    }
}

/** Of `side` rows that are `stride` apart the first quads, the second ones, and so on. */
function interleave(
  source: Uint32Array,
  from: number,
  stride: number,
  side: number,
  target: Uint32Array,
  to: number,
  words: number,
): void {
  for (let row = 0; row < side; row += 1) {
    let at = from + row * stride;
    let next = to + 4 * row;
    for (const end = at + words; at < end; at += 4, next += 4 * side) {
      target[next] = source[at]!;
      target[next + 1] = source[at + 1]!;
      target[next + 2] = source[at + 2]!;
      target[next + 3] = source[at + 3]!;
    }
  }
}

/** A multiple of four; up to some dozens a call takes longer than the words. */
function copyWords(source: Uint32Array, from: number, target: Uint32Array, to: number, words: number): void {
  if (words >= 64) return target.set(source.subarray(from, from + words), to);
  for (let i = 0; i < words; i += 4) {
    target[to + i] = source[from + i]!;
    target[to + i + 1] = source[from + i + 1]!;
    target[to + i + 2] = source[from + i + 2]!;
    target[to + i + 3] = source[from + i + 3]!;
  }
}

/** Quads from `at` on: what is left of a texture's row, whole rows, and a beginning of one. */
function copyQuads(
  encoder: GPUCommandEncoder,
  { buffer, offset }: { buffer: GPUBuffer; offset: number },
  texture: GPUTexture,
  at: number,
  quads: number,
): void {
  for (let done = 0; done < quads;) {
    const x = (at + done) % texels;
    const y = Math.floor((at + done) / texels);
    const height = x === 0 ? Math.max(1, Math.floor((quads - done) / texels)) : 1;
    const width = Math.min(texels - x, quads - done);
    encoder.copyBufferToTexture(
      { buffer, offset: offset + done * quadBytes, bytesPerRow: texels * quadBytes },
      { texture, origin: [x, y] },
      [width, height],
    );
    done += width * height;
  }
}

function bytesOf({ width, height }: GPUTexture): number {
  return quadBytes * width * height;
}

function writingOf({ device }: Gpu): Writing {
  const own = writing.get(device) ?? { open: new Map(), begun: new WeakSet() };
  writing.set(device, own);
  return own;
}
