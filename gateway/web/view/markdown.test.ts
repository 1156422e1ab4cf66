import { h } from "preact";
import { renderToString } from "preact-render-to-string";
import { expect, test } from "vitest";
import { Markdown } from "./markdown.tsx";

const html = (text: string) =>
  renderToString(h(Markdown, { text })).replace(/^<div class="prose">|<\/div>$/g, "");

test.each([
  ["**a** *b* ~~c~~ `d`", "<p><strong>a</strong> <em>b</em> <s>c</s> <code>d</code></p>"],
  ["# a\n###### b", "<h3>a</h3><h6>b</h6>"],
  ["a\nb  \nc", "<p>a\nb<br/>c</p>"],
  ["- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"],
  ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
  ["- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"],
  ["> a\n\n---", "<blockquote><p>a</p></blockquote><hr/>"],
  ["\\*a\\* &amp; 1 < 2", "<p>*a* &amp; 1 &lt; 2</p>"],
])("%j", (text, want) => {
  expect(html(text)).toBe(want);
});

test("a table, with its columns aligned", () => {
  expect(html("| a | b |\n|---|--:|\n| 1 | 2 |")).toContain(
    '<table><thead><tr><th>a</th><th class="to-right">b</th></tr></thead>' +
      '<tbody><tr><td>1</td><td class="to-right">2</td></tr></tbody></table>',
  );
});

test("code, coloured where the language is known, and whole while its end is still to come", () => {
  expect(html("```ts\nconst a = 1;\n```")).toContain('<span class="hljs-keyword">const</span>');
  expect(html("```wgsl\nlet a = <b>;\n```")).toContain("<code>let a = &lt;b>;</code>");
  expect(html("```js\nlet")).toContain('<span class="hljs-keyword">let</span>');
  expect(html("    indented")).toContain("<code>indented</code>");
});

test.each([
  ["a link", "[a](https://example.org/x)", "https://example.org/x"],
  ["a bare address", "see https://example.org/x here", "https://example.org/x"],
  ["mail", "[a](mailto:a@example.org)", "mailto:a@example.org"],
])("%s leads out, into a window of its own", (_, text, href) => {
  expect(html(text)).toContain(`<a href="${href}" target="_blank" rel="noopener noreferrer nofollow">`);
});

test("a picture becomes a link: loading it would tell a stranger's server", () => {
  const shown = html("![secret](https://example.org/?q=secret)");
  expect(shown).toContain('<a href="https://example.org/?q=secret"');
  expect(shown).not.toContain("<img");
});

test.each([
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg/onload=alert(1)>",
  "a <b onclick=alert(1)>b</b>",
  "[a](javascript:alert(1))",
  "[a](JaVaScRiPt:alert(1))",
  "[a](javascript&#58;alert(1))",
  "[a](java\nscript:alert(1))",
  "[a](data:text/html,<script>alert(1)</script>)",
  "[a](vbscript:x)",
  "[a](file:///etc/passwd)",
  "[a](/v1/models)",
  "[a](//example.org)",
  "[a](blob:https://example.org/x)",
  "![a](javascript:alert(1))",
  "![a](data:image/svg+xml;base64,AAAA)",
  "<javascript:alert(1)>",
  "[a]: javascript:alert(1)\n\n[a]",
  "```<img src=x onerror=alert(1)>\n<script>alert(1)</script>\n```",
  '| a |\n|---|\n| <img src=x onerror="alert(1)"> |',
])("%j is inert", (text) => {
  const shown = html(text);
  const tags = new Set([...shown.matchAll(/<([a-z][\w-]*)/g)].map(([, tag]) => tag));
  for (const tag of ["script", "img", "b", "a", "iframe"]) expect(tags).not.toContain(tag);
  // An icon of the copy button is the only drawing.
  expect(shown.replaceAll('<svg class="icon"', "")).not.toContain("<svg");
  const attributes = [...shown.matchAll(/<[^>]*>/g)].join(" ");
  expect(attributes).not.toMatch(/\son\w+=|javascript:|data:/i);
});
