import { describe, expect, it } from "vitest";
import { languageOf } from "../src/shared";
import * as en from "../src/shared/words/en";
import * as zh from "../src/shared/words/zh";

/** The same in every language: names, units and numbers. */
const WITHOUT_LANGUAGE = new Set(["shared.language", "shared.id"]);
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

/** What a text or function says of values that can be found again. */
function said(word: unknown): string {
  if (typeof word !== "function") return String(word);
  const text: unknown = word(...Array.from({ length: word.length }, (_, place) => `⟦${place}⟧`));
  return Array.isArray(text) ? text.join("") : String(text);
}

const sentences = pairs(en, zh).filter(([address]) => !LISTS.has(address));
const placeholders = (text: string): string[] => [...new Set(text.match(/⟦\d⟧/g))].sort();

describe("the words", () => {
  it("are the same ones in both languages", () => {
    expect(addresses(zh)).toEqual(addresses(en));
  });

  it("list things as each language does, without what is empty", () => {
    expect(en.shared.listed(["a", "", "b"])).toBe("a, b");
    expect(zh.shared.listed(["甲", "", "乙"])).toBe("甲，乙");
  });

  it.each(sentences)("say %s in both, of the same values", (address, english, chinese) => {
    expect(typeof chinese).toBe(typeof english);
    const [inEnglish, inChinese] = [said(english), said(chinese)];
    expect(inEnglish.trim()).not.toBe("");
    expect(inChinese.trim()).not.toBe("");
    expect(placeholders(inChinese)).toEqual(placeholders(inEnglish));
    if (typeof english === "function") {
      expect((chinese as () => unknown).length).toBe(english.length);
      expect(placeholders(inEnglish)).toHaveLength(english.length);
    }
    expect(inEnglish).not.toMatch(HAN);
    const keyCaps = /\.keys\w*\.\d+\.0$/.test(address);
    if (keyCaps) expect(inChinese).toBe(inEnglish);
    else if (!WITHOUT_LANGUAGE.has(address)) expect(inChinese).toMatch(HAN);
  });

  it.each(sentences)("set %s in Chinese as it is printed", (_address, _english, chinese) => {
    const text = said(chinese).replace(/⟦\d⟧/g, "7");
    expect(text, "a space between Han and Latin letters or numbers").not.toMatch(
      /\p{Script=Han}[A-Za-z0-9]|[A-Za-z0-9]\p{Script=Han}/u,
    );
    expect(text, "full-width punctuation after Han").not.toMatch(/\p{Script=Han}[,.;:!?()]/u);
    expect(text, "no space beside full-width punctuation").not.toMatch(/[，。；：！？（）] | [，。；：！？（）]/u);
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
