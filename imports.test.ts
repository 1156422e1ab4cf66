// Imports point one way: shaders ← engine ← neuron, neuron/protocol.ts ← gateway, kit ← both; inside the engine
// errors ← gpu ← ops ← models ← serve ← index, and formats, text, grammar and image know no GPU.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

/** What a room may import besides itself; the longest matching path is the room of a file. */
const allowed: Record<string, readonly string[]> = {
  "engine/errors.ts": [],
  "engine/root.ts": [],
  "engine/gpu": ["engine/errors.ts", "engine/root.ts"],
  "engine/formats": ["engine/errors.ts"],
  "engine/text": ["engine/errors.ts", "engine/formats", "engine/serve/types.ts"],
  "engine/image": ["engine/errors.ts"],
  "engine/grammar": ["engine/errors.ts", "engine/serve/types.ts", "engine/text"],
  "engine/reference": ["engine/errors.ts", "engine/ops"], // types of the ops they mirror
  "engine/ops": ["engine/errors.ts", "engine/gpu", "engine/serve/types.ts"],
  "engine/models": ["engine/errors.ts", "engine/formats", "engine/gpu", "engine/image", "engine/ops"],
  "engine/serve/types.ts": [
    ...["engine/gpu/report.ts", "engine/grammar/grammar.ts"],
    ...["engine/image/settings.ts", "engine/parallel/choice.ts"],
  ],
  "engine/serve": ["engine"],
  "engine/verify": [
    "engine/errors.ts",
    "engine/formats",
    "engine/gpu",
    "engine/image",
    "engine/ops",
    "engine/models",
    "engine/parallel",
    "engine/serve",
  ],
  "engine/parallel": ["engine/errors.ts", "engine/formats", "engine/gpu", "engine/models"],
  "engine/index.ts": ["engine"],
  kit: [], // what the edges of both daemons share
  // `--help` and `ls` load no Dawn
  neuron: [
    ...["kit", "engine/index.ts", "engine/errors.ts", "engine/root.ts", "engine/serve/types.ts"],
    "engine/formats/locate.ts",
  ],
  "neuron/protocol.ts": ["engine/index.ts"],
  gateway: ["kit", "neuron/protocol.ts"], // what is in none of its rooms puts them together
  "gateway/wire": ["neuron/protocol.ts", "gateway/errors.ts"],
  "gateway/dialects": ["kit", "gateway/errors.ts", "gateway/wire/answer.ts", "gateway/fleet/catalogue.ts"],
  "gateway/store": ["gateway/config.ts", "gateway/errors.ts"],
  "gateway/servers": [
    ...["gateway/errors.ts", "gateway/ids.ts"],
    ...["gateway/wire", "gateway/dialects", "gateway/fleet"],
  ],
  "gateway/fleet": [
    ...["neuron/protocol.ts", "gateway/config.ts"],
    ...["gateway/wire", "gateway/store", "gateway/servers", "gateway/telemetry/log.ts"],
  ],
  "gateway/residency": [
    ...["neuron/protocol.ts", "gateway/config.ts", "gateway/errors.ts", "gateway/ids.ts"],
    ...["gateway/fleet", "gateway/store", "gateway/telemetry"],
  ],
  "gateway/keys": ["gateway/config.ts", "gateway/errors.ts", "gateway/store", "gateway/telemetry/log.ts"],
  "gateway/telemetry": ["gateway/wire/answer.ts", "gateway/fleet", "gateway/keys"],
  "gateway/requests": [
    ...[
      "kit",
      "neuron/protocol.ts",
      "gateway/config.ts",
      "gateway/errors.ts",
      "gateway/ids.ts",
      "gateway/gateway.ts",
    ],
    ...["gateway/wire", "gateway/dialects", "gateway/servers", "gateway/fleet"],
    ...["gateway/keys", "gateway/store", "gateway/telemetry"],
  ],
  "gateway/routes": ["kit", "neuron/protocol.ts", "gateway"],
  // its document tells the bodies that neurons check
  "gateway/routes/openapi.ts": [
    ...["kit", "gateway", "neuron/protocol.ts"],
    ...["neuron/openai-body.ts", "neuron/openai-shapes.ts"],
  ],
  "gateway/page": [],
  "gateway/web": ["gateway/fleet/protocol.ts"], // the page: for the browser, with a type-check of its own
  "gateway/inspect": [
    ...["kit", "gateway/config.ts", "gateway/keys/keys-file.ts"],
    ...["gateway/fleet", "gateway/wire"],
  ],
  "gateway/commands": ["kit", "gateway"],
  bench: ["engine", "neuron/protocol.ts", "gateway"],
};

const root = import.meta.dirname;
const sources = Object.keys(allowed)
  .filter((room) => !room.includes("/"))
  .concat("engine")
  .flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: "utf8" }).map((f) => join(room, f)),
  )
  .filter((file) => /\.tsx?$/.test(file) && !/\.(test|fixture)\.ts$/.test(file));

test.each(sources)("%s imports only what its room may", (file) => {
  const room = roomOf(file);
  const text = readFileSync(join(root, file), "utf8");
  const imports = [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map(([, path]) =>
    relative(root, resolve(root, dirname(file), path!)),
  );
  const wrong = imports.filter((path) => !["", ...allowed[room]!].some((may) => within(path, may || room)));
  expect(wrong, `${file} is in room ${room}`).toEqual([]);
});

test("the test sees a wrong import", () => {
  expect(within("gateway/fleet/router.ts", "engine")).toBe(false);
  expect(roomOf("engine/serve/types.ts")).toBe("engine/serve/types.ts");
  expect(sources.length).toBeGreaterThan(20);
});

function roomOf(file: string): string {
  const rooms = Object.keys(allowed).filter((room) => within(file, room));
  const room = rooms.sort((a, b) => b.length - a.length)[0];
  if (!room) throw new Error(`${file} is in no room`);
  return room;
}

function within(path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`);
}
