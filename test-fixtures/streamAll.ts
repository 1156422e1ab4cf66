// A process of its own for the flat-memory test: reads a checkpoint and prints, as JSON, by how many bytes the
// process grew at most, how many bytes it read, and the first and last byte of every tensor.
//   streamAll FOLDER stream     every tensor in chunks
//   streamAll FOLDER whole NAME one tensor in one piece: the known-bad way
import { openCheckpoint } from "../engine/formats/checkpoint.ts";

const [folder, mode, name] = process.argv.slice(2);
const checkpoint = await openCheckpoint(folder!);
const before = process.memoryUsage.rss();
let peak = before;
let bytes = 0;
const ends: Record<string, [first: number, last: number]> = {};

for (const tensor of mode === "whole" ? [name!] : checkpoint.names) {
  if (mode === "whole") take(tensor, await checkpoint.read(tensor));
  else await checkpoint.stream(tensor, {}, (chunk) => take(tensor, chunk));
}
await checkpoint.close();
console.log(JSON.stringify({ grown: peak - before, bytes, ends }));

function take(tensor: string, chunk: Uint8Array): void {
  bytes += chunk.byteLength;
  ends[tensor] = [ends[tensor]?.[0] ?? chunk[0]!, chunk.at(-1)!];
  peak = Math.max(peak, process.memoryUsage.rss());
}
