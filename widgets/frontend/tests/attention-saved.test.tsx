import { expect, it } from "vitest";
import { isAsSaved } from "../src/attention-saved";

it("tells whether what is chosen would give the picture that was saved", () => {
  const saved = { selection: { layer: 3, heads: [2], query: 5, key: null, stack: null, kind: "attn" }, by: ["layer", "heads"] as never };
  expect(isAsSaved(saved, { ...saved.selection, query: 1 })).toBe(true);
  expect(isAsSaved(saved, { ...saved.selection, heads: [2, 4] })).toBe(false);
  expect(isAsSaved(saved, { ...saved.selection, layer: 4 })).toBe(false);
  // Nothing chosen is the first head.
  const first = { selection: { layer: null, heads: null }, by: ["layer", "heads"] as never };
  expect(isAsSaved(first, { layer: 0, heads: [0], query: 3 })).toBe(true);
});
