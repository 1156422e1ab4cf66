// Which models make room for another one, and which have been idle for too long. Pure.
// A model makes room only for one of the same or a higher priority: of the same too, or two models that do not fit
// together would shut each other out for ever. A pinned one makes room for none. Those that nobody uses at the moment go
// before those that are at work; among them the strategy decides:
//   lru       the one not used for longest goes first
//   priority  the one of the lowest priority goes first; of several such, the one not used for longest

export type Strategy = "lru" | "priority";

/** What is agreed on a model's stay on a neuron. */
export interface Stay {
  priority: number;
  pinned: boolean;
  /** Unused for so long it is unloaded; 0: never. */
  idleUnloadMs: number;
}

/** A model on a neuron. */
export interface Resident extends Stay {
  id: string;
  /** 0 where nobody knows. */
  memoryMb: number;
  /** No request is with it, and those that it was loaded for have come. */
  idle: boolean;
  /** As Fleet.now() counts. */
  usedAt: number;
}

/** Those that may go for a model of that priority, the first to go first. */
export function inOrder(residents: readonly Resident[], priority: number, strategy: Strategy): Resident[] {
  return residents
    .filter((resident) => !resident.pinned && resident.priority <= priority)
    .sort(
      (a, b) =>
        Number(b.idle) - Number(a.idle) ||
        (strategy === "priority" ? a.priority - b.priority : 0) ||
        a.usedAt - b.usedAt ||
        (a.id < b.id ? -1 : 1),
    );
}

/** Those that go so that `neededMb` come free, no more than it takes; undefined where all of them are not enough. */
export function makeRoom(
  residents: readonly Resident[],
  neededMb: number,
  priority: number,
  strategy: Strategy,
): Resident[] | undefined {
  const going: Resident[] = [];
  for (const resident of inOrder(residents, priority, strategy)) {
    if (sum(going) >= neededMb) break;
    if (resident.memoryMb > 0) going.push(resident);
  }
  if (sum(going) < neededMb) return undefined;
  // A small one may have been taken before a large one that is enough alone.
  for (const resident of [...going].reverse()) {
    const rest = going.filter((other) => other !== resident);
    if (sum(rest) >= neededMb) going.splice(going.indexOf(resident), 1);
  }
  return going;
}

/** Those that nobody has used for as long as was agreed. */
export function idleTooLong(residents: readonly Resident[], now: number): Resident[] {
  return residents.filter(
    ({ idle, pinned, idleUnloadMs, usedAt }) =>
      idle && !pinned && idleUnloadMs > 0 && now - usedAt >= idleUnloadMs,
  );
}

function sum(residents: readonly Resident[]): number {
  return residents.reduce((mb, { memoryMb }) => mb + memoryMb, 0);
}
