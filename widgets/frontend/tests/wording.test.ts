/// <reference types="node" />
// Whatever a person reads stands in src/shared/words; this finds what was written elsewhere.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseAst } from "vite";
import { describe, expect, it } from "vitest";
import * as en from "../src/shared/words/en";

const SOURCES = join(import.meta.dirname, "../src");
/** Attributes that are read or heard, and those of our own components that become such. */
const READ = /^(aria-label|aria-description|aria-roledescription|aria-valuetext|title|subtitle|placeholder|label|alt|low|high)$/;
/** Attributes that only the browser reads. */
const UNREAD = /^(class|style|role|type|id|for|lang|dir|data-.*|autocomplete|inputMode)$/;
/** Two words in a row: a sentence, or a part of one. Single words are names of things. */
const PHRASE = /[A-Za-z]{2,},? [A-Za-z]{2,}/;
const WORD = /[A-Za-z]{2,}/;
/** Of style sheets, class lists and selectors. */
const STYLE = /explorer-|\bis-|var\(--|-gradient\(|\) left |\d(px|%)|:not\(/;
/** Functions that take selectors. */
const SELECTS = /^(matches|closest|querySelector(All)?)$/;
/** The same in every language, or read by no person. */
const ALLOWED = new Set(["id", "[object DataView]"]);

interface Node {
  type: string;
  [part: string]: unknown;
}

interface Found {
  line: number;
  text: string;
}

const isNode = (part: unknown): part is Node =>
  typeof part === "object" && part !== null && typeof (part as Node).type === "string";

function nameOf(part: unknown): string {
  return isNode(part) ? String(part["name"] ?? (isNode(part["name"]) ? part["name"]["name"] : "")) : "";
}

/** What of `text` a person would read in one language, wherever the page is. */
export function wordsOutside(source: string, lang: "ts" | "tsx"): Found[] {
  const found: Found[] = [];
  const note = (node: Node, text: string): void => {
    if (ALLOWED.has(text.trim())) return;
    found.push({ line: source.slice(0, Number(node["start"])).split("\n").length, text: text.trim() });
  };
  const walk = (node: Node, inside: { read: boolean }): void => {
    let here = inside;
    if (node.type === "ImportDeclaration" || (node.type.startsWith("Export") && node["source"])) return;
    if (/^TS(?!AsExpression|NonNullExpression|SatisfiesExpression)/.test(node.type)) return;
    if (isNode(node["callee"]) && SELECTS.test(nameOf(node["callee"]["property"]))) return;
    // An error's own words are for whoever unfolds the details.
    if (node.type === "NewExpression" && /Error$/.test(nameOf(node["callee"]))) return;
    if (node.type === "JSXAttribute") {
      const name = nameOf(node["name"]);
      if (UNREAD.test(name)) return;
      here = { read: READ.test(name) };
    }
    if (node.type === "JSXText" && WORD.test(String(node["value"]))) note(node, String(node["value"]));
    const text =
      node.type === "Literal" && typeof node["value"] === "string"
        ? node["value"]
        : node.type === "TemplateElement"
          ? String((node["value"] as { cooked?: string }).cooked ?? "")
          : null;
    if (text !== null && !STYLE.test(text) && (here.read ? WORD : PHRASE).test(text)) note(node, text);
    const callee = isNode(node["callee"]) ? node["callee"] : null;
    const [first] = Array.isArray(node["arguments"]) ? (node["arguments"] as unknown[]) : [];
    const fixedLocale = isNode(callee?.["property"]) && nameOf(callee["property"]) === "toLocaleString";
    if (fixedLocale && isNode(first)) note(node, "toLocaleString of one language");
    for (const part of Object.values(node)) {
      for (const child of Array.isArray(part) ? part : [part]) if (isNode(child)) walk(child, here);
    }
  };
  walk(parseAst(source, { lang }) as unknown as Node, { read: false });
  return found;
}

const files = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => /\.tsx?$/.test(file) && !/^shared\/words\/|\.generated\.ts$/.test(file));

describe("words outside of the languages' files", () => {
  it.each(files)("are not in %s", (file) => {
    const found = wordsOutside(readFileSync(join(SOURCES, file), "utf8"), file.endsWith("x") ? "tsx" : "ts");
    expect(found.map(({ line, text }) => `${file}:${line}: ${text}`)).toEqual([]);
  });

  it.each([
    ["<p>waiting</p>", "waiting"],
    ["<p>{ready ? words.a : 'not ready yet'}</p>", "not ready yet"],
    ["<p>{`layer ${n} of ${m}`}</p>", null],
    ["<button aria-label='Keys' />", "Keys"],
    ["<Legend low={`against ${x}`} />", "against"],
    ["<p title={`Layer ${n}`} />", "Layer"],
    ["const note = `${n} rows were sampled`", "rows were sampled"],
    ["n.toLocaleString('en')", "toLocaleString of one language"],
    ["<p class='explorer-note is-late big one'>{words.a}</p>", null],
    ["throw new RangeError('the row is empty')", null],
    ["<kbd>?</kbd>", null],
  ])("are found in %s", (source, text) => {
    expect(wordsOutside(source, "tsx").map((found) => found.text)).toEqual(text === null ? [] : [text]);
  });
});

describe("the languages' files", () => {
  const sources = files.map((file) => readFileSync(join(SOURCES, file), "utf8")).join("\n");

  it.each(Object.entries(en))("hold no word of %s that nobody says", (_area, words) => {
    const unsaid = Object.keys(words).filter((key) => !new RegExp(`\\b${key}\\b`).test(sources));
    expect(unsaid).toEqual([]);
  });
});
