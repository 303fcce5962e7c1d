// The browser's filters against transformers' own classes: the fixtures are written by
// tests/fixtures/make_sampling_fixtures.py, and the kernel's tests read the same files.

/// <reference types="node" />

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NEUTRAL, NextToken, type Filter, type Settings } from "../src/sampling-math";

interface Case {
  name: string;
  settings: Settings;
  ids: number[];
  probabilities: number[];
  cuts: { filter: Filter; count: number; mass: number }[];
  entropy: number;
}
interface Fixture {
  vocabulary: number;
  logits: (number | null)[];
  prompt_ids: number[];
  cases: Case[];
}

const FOLDER = join(import.meta.dirname, "../../../tests/fixtures/sampling");
const TOLERANCE = 1e-6;

const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));

test("the fixtures are there", () => {
  expect(files.length).toBeGreaterThanOrEqual(5);
});

describe.each(files)("%s", (file) => {
  const fixture = JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as Fixture;
  const row = new NextToken(Float32Array.from(fixture.logits, (x) => x ?? -Infinity), fixture.prompt_ids);

  test.each(fixture.cases)("$name", (expected) => {
    const distribution = row.under(expected.settings);
    const wanted = new Float64Array(fixture.vocabulary);
    const wantedMask = new Uint8Array(fixture.vocabulary);
    expected.ids.forEach((id, i) => {
      wanted[id] = expected.probabilities[i]!;
      wantedMask[id] = 1;
    });

    const probabilities = distribution.probabilities();
    const error = Math.max(...wanted.map((p, id) => Math.abs(p - probabilities[id]!)));
    expect(error).toBeLessThan(TOLERANCE);
    expect(distribution.keptMask()).toEqual(wantedMask);
    expect(distribution.kept).toBe(expected.ids.length);
    expect(Math.abs(distribution.entropy - expected.entropy)).toBeLessThan(1e-4);

    const cuts = [...distribution.cuts].reverse().map((c) => ({ filter: c.filter, count: c.to - c.from }));
    expect(cuts).toEqual(expected.cuts.map(({ filter, count }) => ({ filter, count })));
    const masses = [...distribution.cuts].reverse().map((c) => c.mass);
    masses.forEach((mass, i) => expect(Math.abs(mass - expected.cuts[i]!.mass)).toBeLessThan(TOLERANCE));
  });
});

describe("by rank", () => {
  const logits = Float32Array.from([0, 3, 1, 2, -Infinity, 3]);
  const row = new NextToken(logits, [3]);

  test("falls, and equal scores come in rising id", () => {
    const open = row.under(NEUTRAL);
    expect(Array.from({ length: 6 }, (_, rank) => open.id(rank))).toEqual([1, 5, 3, 2, 0, 4]);
    expect(open.impossible).toBe(1);
    expect(open.probability(5)).toBe(0);
  });

  test("a cut token shows what it had before its own filter, and these add up to the cut's mass", () => {
    const cut = row.under({ ...NEUTRAL, top_k: 4, min_p: 0.2 });
    expect(cut.cuts.map((c) => c.filter)).toEqual(["min_p", "top_k"]);
    for (const { from, to, mass } of cut.cuts) {
      let total = 0;
      for (let rank = from; rank < to; rank++) total += cut.probability(rank);
      expect(total).toBeCloseTo(mass, 6);
    }
  });

  test("only the penalty changes the order, and turning it off restores it", () => {
    const first = row.under({ ...NEUTRAL, repetition_penalty: 0.5 });
    expect(first.id(0)).toBe(3);
    expect(row.under(NEUTRAL).id(0)).toBe(1);
  });

  test("a penalised token that ties with another stands in order of id", () => {
    const tied = new NextToken(Float32Array.from([2, 3, 4, 2]), [2]).under({ ...NEUTRAL, repetition_penalty: 2 });
    expect([0, 1, 2, 3].map((rank) => tied.id(rank))).toEqual([1, 0, 2, 3]);
  });

  test("mass that reaches 1 - top_p exactly is cut, as in transformers", () => {
    const flat = new NextToken(new Float32Array(16), []);
    expect(flat.under({ ...NEUTRAL, top_p: 0.5 }).kept).toBe(8);
    expect(flat.under({ ...NEUTRAL, top_p: 0.51 }).kept).toBe(9);
  });

  test("a vanishing temperature keeps all of the likeliest, temperature 0 the first of them", () => {
    const cold = row.under({ ...NEUTRAL, temperature: 1e-30 });
    expect([cold.kept, cold.probability(0), cold.entropy]).toEqual([2, 0.5, 1]);
    const greedy = row.under({ ...NEUTRAL, temperature: 0 });
    expect([greedy.kept, greedy.id(0), greedy.entropy]).toEqual([1, 1, 0]);
  });

  test("a penalty beyond float32 is refused, and the next settings work", () => {
    expect(() => row.under({ ...NEUTRAL, repetition_penalty: 1e-39 })).toThrow("nearer to 1");
    expect(row.under({ ...NEUTRAL, repetition_penalty: 1.1 }).kept).toBe(5);
  });
});

test("a vocabulary of 150k keeps the order of a full sort", () => {
  let state = 7;
  const logits = Float32Array.from({ length: 150_000 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.round((state / 2 ** 32) * 4000 - 2000) / 100; // many ties
  });
  const open = new NextToken(logits, []).under(NEUTRAL);
  const expected = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
  expect(Array.from(expected.keys(), (rank) => open.id(rank))).toEqual(expected);
});

test.each([
  ["NaN", [1, NaN], "token 1"],
  ["+inf", [Infinity, 1], "token 0"],
  ["nothing possible", [-Infinity, -Infinity], "no token"],
  ["empty", [], "no token"],
])("a broken row is refused: %s", (_, logits, sentence) => {
  expect(() => new NextToken(Float32Array.from(logits), [])).toThrow(sentence);
});
