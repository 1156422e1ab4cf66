// What ends a request before its time: the client's hang-up, a limit, the gateway's own end. An AbortController for each
// request would cost as much as all else that the gateway does of its own; it is made only for those who want a signal.

export class Stop {
  /** Why it was ended; undefined until then. */
  reason: Error | undefined;
  private listeners: (() => void)[] = [];
  private controller: AbortController | undefined;

  get stopped(): boolean {
    return this.reason !== undefined;
  }

  /** The first reason stands. */
  abort(reason: Error): void {
    if (this.reason) return;
    this.reason = reason;
    const { listeners } = this;
    this.listeners = [];
    for (const listener of listeners) listener();
    this.controller?.abort(reason);
  }

  /** Called once, when it is ended, or at once where it is already. */
  onAbort(listener: () => void): void {
    if (this.reason) listener();
    else this.listeners.push(listener);
  }

  off(listener: () => void): void {
    const at = this.listeners.indexOf(listener);
    if (at !== -1) this.listeners.splice(at, 1);
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.reason) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }
}
