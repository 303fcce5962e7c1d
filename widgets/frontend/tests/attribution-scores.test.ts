import { expect, test } from "vitest";
import { formatAmount, formatScore, limitOf, percentOf, scoreChips } from "../src/attribution-scores";
import { type WireToken, sharedWords } from "../src/shared";

function token(text: string, group: number, part = 1, parts = 1): WireToken {
  return { id: 1, text, kind: parts > 1 ? "byte" : "text", group, part, parts };
}

test("pieces of one character share a chip whose score is their sum", () => {
  const chips = scoreChips([token("Hi", 0), token("世", 1, 1, 3), token("", 1, 2, 3), token("", 1, 3, 3), token("!", 2)], [1, 0.5, -0.2, 0.1, -2]);
  expect(chips.map((chip) => chip.indices)).toEqual([[0], [1, 2, 3], [4]]);
  expect(chips[1]!.scores).toEqual([0.5, -0.2, 0.1]);
  expect(chips[1]!.score).toBeCloseTo(0.4);
  expect(limitOf(chips)).toBe(2);
});

test("two characters in pieces, side by side, stay apart", () => {
  const chips = scoreChips([token("a", 0, 1, 2), token("", 0, 2, 2), token("b", 1, 1, 2), token("", 1, 2, 2)], [1, 1, 1, 1]);
  expect(chips.map((chip) => chip.indices.length)).toEqual([2, 2]);
});

test("scores that do not fit the tokens are refused", () => {
  expect(() => scoreChips([token("a", 0)], [])).toThrow("0 scores for 1 tokens");
  expect(() => scoreChips([token("a", 0)], [NaN])).toThrow("token 0 is NaN");
});

test("numbers carry their sign", () => {
  expect([0.4149, -0.4149, 0, 12.345, 0.0312, -0.00004].map(formatScore)).toEqual(["+0.41", "−0.41", "0", "+12.35", "+0.031", "−4e-5"]);
  expect([4.44, -0.02].map(formatAmount)).toEqual(["4.44", "−0.02"]);
  expect(percentOf(-1, 4, sharedWords.en)).toBe("−25 %");
  expect(percentOf(1, 0, sharedWords.en)).toBe("");
});
