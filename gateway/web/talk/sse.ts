// Server-sent events out of text that comes in pieces. Of an event only its data is of use here; comments, names and
// ids are dropped.

export class EventReader {
  private rest = "";
  private data: string[] = [];

  /** Takes a piece, gives the data of the events that it completes. */
  push(piece: string): string[] {
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/); // a \r at the very end may be half of a \r\n
    this.rest = lines.pop()!;
    return lines.flatMap((line) => this.read(line));
  }

  /** What is left when a stream ends without a last blank line. */
  end(): string[] {
    const lines = [this.rest.replace(/\r$/, ""), ""];
    this.rest = "";
    return lines.flatMap((line) => this.read(line));
  }

  private read(line: string): string[] {
    if (line !== "") {
      const data = /^data(?:: ?(.*))?$/s.exec(line);
      if (data) this.data.push(data[1] ?? "");
      return [];
    }
    if (this.data.length === 0) return [];
    const event = this.data.join("\n");
    this.data = [];
    return [event];
  }
}
