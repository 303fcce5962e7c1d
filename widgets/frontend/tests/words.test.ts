import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Note, inWords, languageOf, noteWords } from "../src/shared";
import * as en from "../src/shared/words/en";
import * as zh from "../src/shared/words/zh";

const { notes: ofAll, cautions, ...chinese } = zh;
const notes = { ...ofAll, ...cautions };
const FIXTURES = join(import.meta.dirname, "../../../tests/fixtures/notes.json");
const told = JSON.parse(readFileSync(FIXTURES, "utf8")) as Note[];

/** The same in every language: names, signs and numbers. */
const WITHOUT_LANGUAGE = new Set([
  "shared.language",
  "shared.id",
  "shared.percent",
  "sampling.knobs.top_k.label",
  "sampling.knobs.top_p.label",
  "sampling.knobs.min_p.label",
  "sampling.whole",
  "attribution.ready",
  "attribution.of",
  "measures.at",
  "difference.says",
  "difference.quoted",
]);
/** What they name is Chinese, or stands in quotes; of all others it is numbers or Latin letters. */
const OF_WORDS = new Set([
  "sampling.mustBe",
  "sampling.seedMustBe",
  "sampling.lengthMustBe",
  "attribution.both",
  "attribution.untilThen",
  "attention.headNaN",
  "attention.inOrder",
  "measures.map",
  "measures.leftOut",
  "measures.noneKept",
  "measures.noValues",
  "measures.sortBy",
  "measures.likeThis",
  "measures.alikeTo",
]);
/** Notes whose values say which of a few things is meant, and are worded themselves. */
const NAMES_A_KIND = new Set(["baseline", "prompt_too_long", "saved_is_fixed", "image_is_fixed", "no_patches"]);
const HAN = /\p{Script=Han}/u;

type Said = Record<string, unknown>;

// A list of things is tested by itself.
const LISTS = new Set(["shared.listed"]);

/** Every text and function of both languages, with its address: `shared.states.live`. */
function pairs(one: Said, other: Said, at = ""): [address: string, english: unknown, chinese: unknown][] {
  return Object.entries(one).flatMap(([key, value]) => {
    const address = at === "" ? key : `${at}.${key}`;
    return value !== null && typeof value === "object"
      ? pairs(value as Said, (other[key] ?? {}) as Said, address)
      : [[address, value, other[key]] as [string, unknown, unknown]];
  });
}

function addresses(words: Said): string[] {
  return pairs(words, {}).map(([address]) => address);
}

/** What a text or function says of values, which can be found again unless they are given. */
function said(word: unknown, value = (place: number): string => `⟦${place}⟧`): string {
  if (typeof word !== "function") return String(word);
  const text: unknown = word(...Array.from({ length: word.length }, (_, place) => value(place)));
  return Array.isArray(text) ? text.join("") : String(text);
}

const sentences = pairs(en, chinese).filter(([address]) => !LISTS.has(address));
const placeholders = (text: string): string[] => [...new Set(text.match(/⟦\d⟧/g))].sort();

describe("the words", () => {
  it("are the same ones in both languages", () => {
    expect(addresses(chinese)).toEqual(addresses(en));
  });

  it("list things as each language does, without what is empty", () => {
    expect(en.shared.listed(["a", "", "b"])).toBe("a, b");
    expect(zh.shared.listed(["甲", "", "乙"])).toBe("甲，乙");
  });

  it.each(sentences)("say %s in both, of the same values", (address, english, other) => {
    expect(typeof other).toBe(typeof english);
    const [inEnglish, inChinese] = [said(english), said(other)];
    expect(inEnglish.trim()).not.toBe("");
    expect(inChinese.trim()).not.toBe("");
    expect(placeholders(inChinese)).toEqual(placeholders(inEnglish));
    if (typeof english === "function") {
      expect((other as () => unknown).length).toBe(english.length);
      expect(placeholders(inEnglish)).toHaveLength(english.length);
    }
    expect(inEnglish).not.toMatch(HAN);
    const keyCaps = /\.keys\w*\.\d+\.0$/.test(address);
    if (keyCaps) expect(inChinese).toBe(inEnglish);
    else if (!WITHOUT_LANGUAGE.has(address)) expect(inChinese).toMatch(HAN);
  });

  it.each(sentences)("set %s in Chinese as it is printed", (address, _english, other) => {
    expectPrinted(said(other, () => (OF_WORDS.has(address) ? "“7”" : "7")));
  });
});

function expectPrinted(text: string): void {
  expect(text, "a space between Han and Latin letters or numbers").not.toMatch(
    /\p{Script=Han}[A-Za-z0-9]|[A-Za-z0-9]\p{Script=Han}/u,
  );
  expect(text, "full-width punctuation after Han").not.toMatch(/\p{Script=Han}[,.;:!?()]/u);
  expect(text, "no space beside full-width punctuation").not.toMatch(/[，。；：！？（）] | [，。；：！？（）]/u);
}

describe("what Python notes", () => {
  it("is worded in Chinese, all of it", () => {
    expect(Object.keys(notes).sort()).toEqual([...new Set(told.map(({ key }) => key))].sort());
  });

  it.each(told.map((note) => [note.text, note] as const))("in Chinese: %s", (text, note) => {
    const inChinese = inWords(note, notes);
    expect(inChinese).toMatch(HAN);
    expectPrinted(inChinese);
    for (const value of Object.values(note.about).flat()) {
      if (typeof value === "number" && text.includes(value.toLocaleString("en")))
        expect(inChinese).toContain(value.toLocaleString("zh"));
      else if (typeof value === "string" && text.includes(value) && !NAMES_A_KIND.has(note.key))
        expect(inChinese).toContain(value);
    }
    expect(inWords(note, noteWords.en)).toBe(text);
  });

  it("is shown in its own words where there are none for it", () => {
    const newer = { key: "constructor", about: {}, text: "Something new." } as unknown as Note;
    expect([inWords(newer, notes), inWords("plain", notes)]).toEqual(["Something new.", "plain"]);
  });
});

describe("the language", () => {
  it.each([
    ["", "en-US", "en"],
    ["", "de", "en"],
    ["", undefined, "en"],
    ["", "zh-CN", "zh"],
    ["", "zh-TW", "zh"],
    ["", "zh-Hans-SG", "zh"],
    ["", "ZH", "zh"],
    ["", "zha", "en"],
    ["en", "zh-CN", "en"],
    ["zh", "en-US", "zh"],
    [undefined, "zh-CN", "zh"],
    ["fr", "en-US", "en"],
  ] as const)("of the option %j in a browser of %j is %s", (option, browsers, language) => {
    expect(languageOf(option, browsers)).toBe(language);
  });
});
