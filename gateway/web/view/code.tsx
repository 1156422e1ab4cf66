// A block of code: its language, a button to copy it, and colours where the language is one of the common ones.

import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import shell from "highlight.js/lib/languages/shell";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";
import type { ComponentChild } from "preact";
import { useMemo } from "preact/hooks";
import { CopyButton } from "./copy.tsx";

const colours = createLowlight({
  ...{ bash, c, cpp, csharp, css, diff, go, ini, java, javascript, json, python, rust, shell, sql },
  ...{ typescript, xml, yaml },
});

/** Longer code stays plain: it is coloured anew with every word that comes. */
const longest = 30_000;

export function Code({ text, language }: { text: string; language: string }) {
  const known = colours.registered(language) && text.length <= longest;
  const coloured = useMemo(
    () => (known ? inner(colours.highlight(language, text).children) : text),
    [known, language, text],
  );
  return (
    <figure class="code">
      <figcaption>
        <span>{language || "text"}</span>
        <CopyButton text={text} label="Copy code" />
      </figcaption>
      <pre tabIndex={0} aria-label={`Code${language ? ` in ${language}` : ""}`}>
        <code>{coloured}</code>
      </pre>
    </figure>
  );
}

/** What the highlighter gives: text, and elements that have classes and nothing else of interest. */
interface Coloured {
  type: string;
  value?: string;
  properties?: { className?: unknown };
  children?: Coloured[];
}

function inner(nodes: readonly Coloured[]): ComponentChild[] {
  return nodes.map(({ type, value, properties, children }) =>
    type === "element" ? (
      <span class={([properties?.className] as string[][]).flat().join(" ")}>{inner(children ?? [])}</span>
    ) : (
      value
    ),
  );
}
