// Builds the page, gateway/web, into dist/gateway/web, from where the gateway serves it.

import { join } from "node:path";
import { defineConfig } from "vite";

const root = join(import.meta.dirname, "gateway/web");

export default defineConfig({
  root,
  publicDir: join(root, "public"),
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: join(import.meta.dirname, "dist/gateway/web"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the page's policy allows no inline styles or scripts
    license: { fileName: "licenses.txt" },
  },
});
