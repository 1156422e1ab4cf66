import { expect, test } from "vitest";
import type { Resident, Strategy } from "./eviction.ts";
import { idleTooLong, makeRoom } from "./eviction.ts";

function resident(id: string, memoryMb: number, usedAt: number, more: Partial<Resident> = {}): Resident {
  return { ...{ id, memoryMb, usedAt, priority: 100, pinned: false, idle: true, idleUnloadMs: 0 }, ...more };
}

type Case = [
  string,
  Resident[],
  { mb: number; priority?: number; strategy?: Strategy },
  string[] | undefined,
];

test.each<Case>([
  ["the one not used for longest", [resident("new", 5, 30), resident("old", 5, 10)], { mb: 4 }, ["old"]],
  [
    "as many as it takes, in order",
    [resident("a", 5, 30), resident("b", 6, 10), resident("c", 7, 20)],
    { mb: 12 },
    ["b", "c"],
  ],
  [
    "none that is not needed once a large one goes",
    [resident("small", 2, 10), resident("large", 9, 20)],
    { mb: 8 },
    ["large"],
  ],
  [
    "of two spared ones, the one used last stays first",
    [resident("a", 4, 10), resident("b", 4, 20), resident("c", 7, 30)],
    { mb: 11 },
    ["a", "c"],
  ],
  [
    "idle before busy, however old",
    [resident("busy", 5, 1, { idle: false }), resident("idle", 5, 90)],
    { mb: 5 },
    ["idle"],
  ],
  [
    "busy too, when idle ones are not enough",
    [resident("busy", 5, 1, { idle: false }), resident("idle", 5, 90)],
    { mb: 10 },
    ["idle", "busy"],
  ],
  ["never a pinned one", [resident("pinned", 9, 1, { pinned: true }), resident("b", 5, 9)], { mb: 5 }, ["b"]],
  ["nothing when only pinned ones are there", [resident("p", 9, 1, { pinned: true })], { mb: 1 }, undefined],
  ["none of a higher priority", [resident("dear", 9, 1, { priority: 101 })], { mb: 1 }, undefined],
  ["one of the same priority", [resident("equal", 9, 1)], { mb: 1 }, ["equal"]],
  [
    "a dear one for a dearer one",
    [resident("dear", 9, 1, { priority: 500 })],
    { mb: 9, priority: 501 },
    ["dear"],
  ],
  ["nothing when all are not enough", [resident("a", 5, 1), resident("b", 5, 2)], { mb: 11 }, undefined],
  ["none whose size nobody knows", [resident("a", 0, 1), resident("b", 5, 2)], { mb: 5 }, ["b"]],
  ["nothing for nothing", [resident("a", 5, 1)], { mb: 0 }, []],
  ["a tie by name", [resident("b", 5, 1), resident("a", 5, 1)], { mb: 1 }, ["a"]],
  [
    "lru: by use, whatever the priority",
    [resident("cheap", 5, 50, { priority: 10 }), resident("dear", 5, 5, { priority: 90 })],
    { mb: 5, strategy: "lru" },
    ["dear"],
  ],
  [
    "priority: the cheapest, however lately used",
    [resident("cheap", 5, 50, { priority: 10 }), resident("dear", 5, 5, { priority: 90 })],
    { mb: 5, strategy: "priority" },
    ["cheap"],
  ],
  [
    "priority: of equals the one not used for longest",
    [resident("new", 5, 50, { priority: 10 }), resident("old", 5, 5, { priority: 10 })],
    { mb: 5, strategy: "priority" },
    ["old"],
  ],
])("makes room by unloading %s", (_, residents, { mb, priority = 100, strategy = "lru" }, want) => {
  expect(makeRoom(residents, mb, priority, strategy)?.map(({ id }) => id)).toEqual(want);
});

test("idle too long: by each one's own time, never busy or pinned ones, never without a time", () => {
  const now = 100_000;
  const residents = [
    resident("due", 1, now - 7000, { idleUnloadMs: 7000 }),
    resident("not yet", 1, now - 6999, { idleUnloadMs: 7000 }),
    resident("longer", 1, now - 7000, { idleUnloadMs: 9000 }),
    resident("never", 1, 0),
    resident("busy", 1, 0, { idleUnloadMs: 7000, idle: false }),
    resident("pinned", 1, 0, { idleUnloadMs: 7000, pinned: true }),
  ];
  expect(idleTooLong(residents, now).map(({ id }) => id)).toEqual(["due"]);
});
