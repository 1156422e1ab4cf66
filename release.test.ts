// .ci/release in a scratch repository: what it refuses, and what it leaves behind.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";

let folder: string;

function sh(program: string, ...args: string[]) {
  const env = { ...process.env, HOME: folder, GIT_CONFIG_NOSYSTEM: "1" };
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: "utf8", env });
  return { status, out: stdout.trim(), err: stderr.trim() };
}

const read = (file: string) => readFileSync(join(folder, file), "utf8");

/** A repository with one version, whose tests are `script`. */
function repository(script: string): void {
  mkdirSync(join(folder, ".ci"));
  mkdirSync(join(folder, "deploy/kubernetes"), { recursive: true });
  cpSync(join(import.meta.dirname, ".ci/release"), join(folder, ".ci/release"));
  const manifest = { name: "scratch", version: "0.1.0", files: ["CHANGELOG.md"], scripts: { test: script } };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  const lock = { name: "scratch", version: "0.1.0", lockfileVersion: 3, packages: { "": manifest } };
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify(lock));
  writeFileSync(join(folder, "CHANGELOG.md"), "# Changelog\n\n## 0.2.0 (2026-12-01)\n");
  writeFileSync(
    join(folder, "deploy/kubernetes/kustomization.yaml"),
    "images:\n  - name: x\n    newTag: 0.1.0\n",
  );
  writeFileSync(join(folder, ".gitignore"), "*.tgz\n.npm\n.gitconfig\n");
  sh("git", "init", "-q");
  sh("git", "config", "user.email", "someone@example.org");
  sh("git", "config", "user.name", "Someone");
  sh("git", "add", ".");
  expect(sh("git", "commit", "-q", "-m", "all").status).toBe(0);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cortex-release-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

test("a release: version, commit, tag, package", { timeout: 60_000 }, () => {
  repository("true");
  const release = sh(".ci/release", "0.2.0");
  expect([release.status, release.err]).toEqual([0, expect.not.stringContaining("release:")]);
  expect(release.out).toContain("npm publish cortex-neuron-0.2.0.tgz");
  expect((JSON.parse(read("package.json")) as { version: string }).version).toBe("0.2.0");
  expect(read("deploy/kubernetes/kustomization.yaml")).toContain("newTag: 0.2.0");
  expect(sh("git", "tag").out).toBe("v0.2.0");
  expect(sh("git", "log", "-1", "--format=%s").out).toBe("release: 0.2.0");
  expect(sh("git", "status", "--porcelain").out).toBe("");
  expect(sh(".ci/release", "0.2.0").err).toBe("release: v0.2.0 has been released already");
});

test("failing tests leave everything as it was", { timeout: 60_000 }, () => {
  repository("false");
  expect(sh(".ci/release", "0.2.0")).toMatchObject({
    status: 1,
    err: expect.stringContaining("nothing was released"),
  });
  expect([sh("git", "tag").out, sh("git", "status", "--porcelain").out]).toEqual(["", ""]);
  expect((JSON.parse(read("package.json")) as { version: string }).version).toBe("0.1.0");
});

test.each([
  ["no version", [], "expected a version such as 0.2.0, got ''"],
  ["a word", ["next"], "got 'next'"],
  ["nothing in the changelog", ["0.3.0"], "CHANGELOG.md has no section '## 0.3.0 (date)'"],
])("%s", (_, args, words) => {
  repository("true");
  expect(sh(".ci/release", ...args)).toMatchObject({ status: 1, err: expect.stringContaining(words) });
  expect(sh("git", "tag").out).toBe("");
});

test("what is not committed is not released", () => {
  repository("true");
  writeFileSync(join(folder, "more"), "");
  expect(sh(".ci/release", "0.2.0").err).toContain("there are changes that are not committed");
});

test("this package's version is in the changelog, and in what is deployed", () => {
  const here = import.meta.dirname;
  const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as { version: string };
  const changelog = readFileSync(join(here, "CHANGELOG.md"), "utf8");
  expect(changelog).toContain(`## ${version} (`);
  const base = readFileSync(join(here, "deploy/kubernetes/kustomization.yaml"), "utf8");
  expect([...base.matchAll(/newTag: (\S+)/g)].map(([, tag]) => tag)).toEqual([version, version]);
});
