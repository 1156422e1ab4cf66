// A model's Markdown as elements. There is no HTML in between: what a model writes can become text, one of the elements
// below, or a link to the web, and nothing else. Its pictures become links, for loading one would tell a stranger's
// server what is read here.

import MarkdownIt from "markdown-it";
import type { Token } from "markdown-it";
import type { ComponentChild, ComponentChildren } from "preact";
import { h } from "preact";
import { useMemo } from "preact/hooks";
import { Code } from "./code.tsx";

const parser = new MarkdownIt({ html: false, linkify: true });
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });

/** Elements by the parser's words for them. Headings begin below those of the page. */
const elements: Record<string, string> = {
  ...{ paragraph: "p", blockquote: "blockquote", em: "em", strong: "strong", s: "s" },
  ...{ bullet_list: "ul", ordered_list: "ol", list_item: "li" },
  ...{ thead: "thead", tbody: "tbody", tr: "tr", th: "th", td: "td" },
};

export function Markdown({ text }: { text: string }) {
  return useMemo(() => <div class="prose">{children(parser.parse(text, {}))}</div>, [text]);
}

interface Frame {
  token: Token | undefined;
  children: ComponentChild[];
}

function children(tokens: readonly Token[]): ComponentChild[] {
  const root: Frame = { token: undefined, children: [] };
  const frames = [root];
  for (const token of tokens) {
    const frame = frames.at(-1)!;
    if (token.nesting === 1) frames.push({ token, children: [] });
    else if (token.nesting === 0) frame.children.push(leaf(token));
    else if (frames.length > 1) {
      frames.pop();
      frames.at(-1)!.children.push(element(frame.token!, frame.children));
    }
  }
  return root.children;
}

function leaf(token: Token): ComponentChild {
  switch (token.type) {
    case "inline":
      return children(token.children ?? []);
    case "fence":
    case "code_block":
      return (
        <Code text={token.content.replace(/\n$/, "")} language={token.info.trim().split(/\s+/)[0] ?? ""} />
      );
    case "code_inline":
      return <code>{token.content}</code>;
    case "hardbreak":
      return <br />;
    case "softbreak":
      return "\n";
    case "hr":
      return <hr />;
    case "image":
      return <Link href={token.attrGet("src")}>{token.content || "picture"}</Link>;
    default:
      return token.content;
  }
}

function element(token: Token, inner: ComponentChildren): ComponentChild {
  const name = token.type.replace(/_open$/, "");
  if (token.hidden) return inner as ComponentChild;
  if (name === "link") return <Link href={token.attrGet("href")}>{inner}</Link>;
  if (name === "heading") return h(`h${Math.min(6, Number(token.tag.slice(1)) + 2)}`, null, inner);
  if (name === "table")
    return (
      <div class="scroll" role="region" aria-label="Table" tabIndex={0}>
        <table>{inner}</table>
      </div>
    );
  const tag = elements[name];
  if (tag === undefined) return inner as ComponentChild;
  const align = /text-align:(\w+)/.exec(String(token.attrGet("style") ?? ""))?.[1];
  const start = tag === "ol" ? Number(token.attrGet("start") ?? 1) : 1;
  return h(tag, { ...(align && { class: `to-${align}` }), ...(start !== 1 && { start }) }, inner);
}

/** A link to somewhere else, or its text alone where the address is not one of the web's. */
function Link({ href, children }: { href: string | number | null; children?: ComponentChildren }) {
  if (typeof href !== "string" || !/^(https?:\/\/|mailto:)/i.test(href)) return <>{children}</>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}
