/** The regular files of a tar archive (ustar), by name. Throws where it is cut short. */
export function* tarFiles(archive: Buffer): Generator<{ name: string; data: Buffer }> {
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const text = (from: number, bytes: number) =>
      archive.toString("latin1", at + from, at + from + bytes).replace(/\0.*$/s, "");
    const size = parseInt(text(124, 12), 8);
    const type = text(156, 1);
    const end = at + 512 + size;
    if (!(end <= archive.length)) throw new Error(`tar archive ends within ${text(0, 100)}`);
    if (type === "0" || type === "") yield { name: text(0, 100), data: archive.subarray(at + 512, end) };
    at = at + 512 + Math.ceil(size / 512) * 512;
  }
}
