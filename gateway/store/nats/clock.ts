// The server's clock as this process knows it: measured now and then, and in between counted by a clock that nobody
// sets.

export class ServerClock {
  private offset = Date.now() - performance.now();

  /** ms since 1970. */
  now(): number {
    return performance.now() + this.offset;
  }

  /** Asks the server for its time; what it says is taken for the middle of the way there and back. */
  async measure(ask: () => Promise<number>): Promise<void> {
    const sent = performance.now();
    const time = await ask();
    this.offset = time - (sent + performance.now()) / 2;
  }
}
