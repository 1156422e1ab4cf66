// npm run docs: writes the pages that are made from the code. A test says when one is not up to date.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pages } from "./pages.ts";

for (const [file, text] of Object.entries(pages))
  writeFileSync(join(import.meta.dirname, "..", file), text());
