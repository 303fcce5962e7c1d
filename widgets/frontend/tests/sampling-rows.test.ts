import { describe, expect, test } from "vitest";
import { NEUTRAL, NextToken } from "../src/sampling-math";
import { layRows, ROWS } from "../src/sampling-rows";

const logits = Float32Array.from({ length: 500 }, (_, i) => 9 - 2 * Math.log(1 + i));
const row = new NextToken(logits, [0, 1]);
const all = (): boolean => true;

describe("the number of rows never changes", () => {
  test.each([
    ["nothing on", {}],
    ["greedy", { temperature: 0 }],
    ["hot", { temperature: 1e9 }],
    ["top-k 1", { top_k: 1 }],
    ["top-k 3", { top_k: 3 }],
    ["top-k 40", { top_k: 40 }],
    ["top-p", { top_p: 0.9 }],
    ["min-p", { min_p: 0.05 }],
    ["three filters", { top_k: 100, top_p: 0.9, min_p: 0.1 }],
    ["three filters that keep many", { temperature: 3, top_k: 300, top_p: 0.95, min_p: 0.01 }],
    ["all but the last cut", { top_k: 499 }],
  ])("%s", (_, changed) => {
    expect(layRows(row.under({ ...NEUTRAL, ...changed }), all)).toHaveLength(ROWS);
  });
});

test("every filter that cut something has its line, above the tokens it cut", () => {
  const rows = layRows(row.under({ ...NEUTRAL, top_k: 100, top_p: 0.9, min_p: 0.1 }), all);
  const shape = rows.map((r) => (r.kind === "cut" ? r.filter : r.kind === "token" ? (r.kept ? "kept" : "grey") : r.kind));
  expect(shape.filter((kind) => kind.includes("_"))).toEqual(["min_p", "top_p", "top_k"]);
  expect(shape.indexOf("kept")).toBe(0);
  expect(shape.slice(shape.indexOf("min_p"))).not.toContain("kept");
  expect(shape.at(-1)).toBe("grey");
});

test("a cut far down, whose tokens nobody named, is its line alone, and the rows go to what can be drawn", () => {
  const rows = layRows(row.under({ ...NEUTRAL, top_k: 100 }), (id) => id < 24);
  expect(rows).toHaveLength(ROWS);
  expect(rows.map((r) => r.kind)).toEqual([...Array<string>(ROWS - 2).fill("token"), "more", "cut"]);
});

test("what is kept but not shown is counted with its mass", () => {
  const rows = layRows(row.under(NEUTRAL), all);
  const more = rows.at(-1)!;
  expect(more.kind).toBe("more");
  const shown = rows.reduce((sum, r) => sum + (r.kind === "token" ? r.probability : 0), 0);
  if (more.kind === "more") {
    expect(more.count).toBe(500 - (ROWS - 1));
    expect(more.mass + shown).toBeCloseTo(1, 6);
  }
});

test("a tiny vocabulary shows all of it", () => {
  const tiny = new NextToken(Float32Array.from([1, 2, -Infinity]), []);
  expect(layRows(tiny.under(NEUTRAL), all)).toEqual([
    { kind: "token", rank: 0, id: 1, probability: expect.closeTo(0.731, 3), kept: true },
    { kind: "token", rank: 1, id: 0, probability: expect.closeTo(0.269, 3), kept: true },
    { kind: "impossible", count: 1 },
  ]);
});
