// The body of a neuron's answer, pushed to whoever takes it: no promise for each chunk, as a loop over a stream has. Who
// has the time may loop all the same. What comes before anybody takes it is kept, and the neuron made to wait.

export interface Taker {
  /** False: nothing more until `resume`. */
  data(chunk: Buffer): boolean;
  end(): void;
  fail(error: Error): void;
}

/** What the connection lets us do with the answer. */
export interface Valve {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

export class Body implements AsyncIterable<Buffer> {
  private readonly valve: Valve;
  private readonly early: Buffer[] = [];
  private taker: Taker | undefined;
  private outcome: "open" | "ended" | Error = "open";

  constructor(valve: Valve) {
    this.valve = valve;
  }

  /** Once. What is there already comes at once. */
  take(taker: Taker): void {
    this.taker = taker;
    let goesOn = true;
    for (const chunk of this.early.splice(0)) goesOn = taker.data(chunk) && goesOn;
    if (this.outcome !== "open") this.tell(taker);
    else if (goesOn) this.valve.resume();
  }

  resume(): void {
    this.valve.resume();
  }

  /** Closes the connection; the taker hears no more. */
  abort(): void {
    this.taker = silent;
    if (this.outcome === "open") this.valve.abort(new Error("not wanted any more"));
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return; // what a resumed parser gives first; to pause at it would be to stop for ever
    const goesOn = this.taker ? this.taker.data(chunk) : this.early.push(chunk) < 1;
    if (!goesOn) this.valve.pause();
  }

  close(error?: Error): void {
    this.outcome = error ?? "ended";
    if (this.taker) this.tell(this.taker);
  }

  /** Leaving the loop closes the connection. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    const chunks: Buffer[] = [];
    let over: "ended" | Error | undefined;
    let wake = () => {};
    const finish = (how: "ended" | Error) => {
      over = how;
      wake();
    };
    const data = (chunk: Buffer) => {
      chunks.push(chunk);
      wake();
      return false;
    };
    this.take({ data, end: () => finish("ended"), fail: finish });
    try {
      for (;;) {
        for (let chunk = chunks.shift(); chunk; chunk = chunks.shift()) yield chunk;
        if (over instanceof Error) throw over;
        if (over) return;
        const change = new Promise<void>((resolve) => (wake = resolve));
        this.resume();
        if (chunks.length === 0 && over === undefined) await change;
      }
    } finally {
      if (over === undefined) this.abort();
    }
  }

  private tell(taker: Taker): void {
    if (this.outcome instanceof Error) taker.fail(this.outcome);
    else taker.end();
  }
}

const silent: Taker = { data: () => true, end: () => {}, fail: () => {} };
