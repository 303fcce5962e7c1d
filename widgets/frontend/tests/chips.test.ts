import { describe, expect, it } from "vitest";
import { chips, tokenName, visible } from "../src/shared";
import { token, tokensOf } from "./fake-model";

describe("chips", () => {
  it("gives every whole token a chip, leading space included", () => {
    const found = chips(tokensOf("When", " Mary", ",", " "));
    expect(found.map((chip) => chip.text)).toEqual(["When", " Mary", ",", " "]);
    expect(found.map((chip) => chip.indices)).toEqual([[0], [1], [2], [3]]);
  });

  it("puts the pieces of one character into one chip", () => {
    const pieces = [1, 2, 3].map((part) => token("世", { group: 1, part, parts: 3 }));
    const found = chips([token("a"), ...pieces, token("b", { group: 2 })]);
    expect(found.map((chip) => [chip.text, chip.indices])).toEqual([
      ["a", [0]],
      ["世", [1, 2, 3]],
      ["b", [4]],
    ]);
  });

  it("keeps equal neighbours apart when they are different characters", () => {
    const twice = [0, 1].flatMap((group) => [1, 2].map((part) => token("好", { group, part, parts: 2 })));
    expect(chips(twice).map((chip) => chip.indices)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it("joins pieces that each carry their own bytes", () => {
    const pieces = ["⟨E4⟩", "⟨B8⟩"].map((text, at) => token(text, { kind: "byte", part: at + 1, parts: 2 }));
    expect(chips(pieces)[0]).toMatchObject({ text: "⟨E4⟩⟨B8⟩", kind: "byte" });
  });

  it("is empty without tokens", () => {
    expect(chips([])).toEqual([]);
  });
});

describe("what a token is called", () => {
  it("quotes text, counts pieces and leaves special tokens as they are", () => {
    expect(tokenName(token(" Mary"))).toBe("“ Mary”");
    expect(tokenName(token("世", { part: 2, parts: 3 }))).toBe("“世” 2/3");
    expect(tokenName(token("<|im_start|>", { kind: "special" }))).toBe("<|im_start|>");
  });

  it("shows what would disturb the page as an escape, and joined emoji as they are", () => {
    expect(visible("a\u202eb\u0000\u2066")).toBe("a⟨U+202E⟩b⟨U+0000⟩⟨U+2066⟩");
    expect(visible("👨‍👩‍👧 می‌خواهم")).toBe("👨‍👩‍👧 می‌خواهم");
  });
});
