// What can only be seen from outside the process: the environment, the system's libraries, and how it ends.
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { packageRoot } from "../root.ts";
import type { DeviceReport } from "./report.ts";

const adapter = process.env["NEURON_TEST_ADAPTER"]!;
const program = [
  "--import",
  join(packageRoot, "test-fixtures", "typescript.mjs"),
  join(packageRoot, "test-fixtures", "open-gpu.ts"),
];

/** Opens the adapter in a worker thread of a fresh process; rejects unless it ends by itself with code 0. */
async function openElsewhere(command: string[], environment: Record<string, string> = {}) {
  const [file, ...args] = [...command, process.execPath, ...program, JSON.stringify({ adapter })];
  const env = { ...process.env, ...environment };
  const { stdout, stderr } = await promisify(execFile)(file!, args, { env, timeout: 50_000 });
  return { report: JSON.parse(stdout) as DeviceReport, stderr };
}

test("prepared in the main thread and opened in a worker, the process ends by itself", async () => {
  const { report, stderr } = await openElsewhere([]);
  expect(report.name.toLowerCase()).toContain(adapter.replace("lavapipe", "llvmpipe"));
  expect(stderr).toContain(`device ${report.index}: ${report.name}`);
});

// A mount namespace in which the file of the system's Vulkan loader does not exist, above the folder that holds it.
const hideLoader = `
  folder=$(dirname "$(ldconfig -p | grep -m1 -o '/.*libvulkan.so.1$')") && top=$(mktemp -d) &&
  mount -t tmpfs none "$top" && mkdir "$top/upper" "$top/work" && mknod "$top/upper/libvulkan.so.1" c 0 0 &&
  mount -t overlay none -o "lowerdir=$folder,upperdir=$top/upper,workdir=$top/work" "$folder" && exec "$@"`;
const hidden = ["unshare", "--mount", "sh", "-c", hideLoader, "sh"];
const canHide = spawnSync(hidden[0]!, [...hidden.slice(1), "true"]).status === 0;

test.runIf(adapter === "swiftshader" && canHide)(
  "without the system's Vulkan loader the one that SwiftShader brings is used",
  async () => {
    const { report } = await openElsewhere(hidden);
    expect(report.name).toMatch(/SwiftShader/);
  },
);

test.runIf(adapter === "swiftshader")("the user's own choice of drivers is honoured", async () => {
  const { report } = await openElsewhere([], { VK_DRIVER_FILES: "/nonexistent.json" });
  expect(report).toMatchObject({ index: 0, kind: "software" });
});
