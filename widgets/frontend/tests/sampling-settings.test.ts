import { describe, expect, test } from "vitest";
import { NEUTRAL } from "../src/sampling-math";
import {
  CONTROLS,
  formatNumber,
  parseKnob,
  parseMaxTokens,
  parseSeed,
  readSettings,
  topKSteps,
} from "../src/sampling-settings";
import { samplingWords } from "../src/shared";

const { en, zh } = samplingWords;

describe("typed numbers", () => {
  test.each([
    ["temperature", "0.8", 0.8],
    ["temperature", " 0,8 ", 0.8],
    ["temperature", "1e9", 1e9],
    ["temperature", "greedy", 0],
    ["top_k", "off", 0],
    ["top_k", "49,152", 49152],
    ["top_k", "9999999", 9999999],
    ["top_p", "OFF", 1],
    ["top_p", "0", 0],
    ["min_p", ".05", 0.05],
    ["repetition_penalty", "off", 1],
  ] as const)("%s %s", (key, text, value) => {
    expect(parseKnob(key, text, en)).toEqual({ value });
    expect(parseKnob(key, text, zh)).toEqual({ value });
  });

  test.each([
    ["temperature", "-1"],
    ["temperature", "NaN"],
    ["temperature", "Infinity"],
    ["temperature", ""],
    ["temperature", "off"],
    ["top_k", "-5"],
    ["top_k", "2.5"],
    ["top_p", "1.2"],
    ["min_p", "-0.1"],
    ["repetition_penalty", "0"],
    ["repetition_penalty", "<b>1</b>"],
  ] as const)("%s %s is refused in a sentence that says what is allowed", (key, text) => {
    const { label } = en.knobs[key];
    const parsed = parseKnob(key, text, en);
    expect(parsed).toHaveProperty("problem");
    if ("problem" in parsed) expect(parsed.problem).toMatch(new RegExp(`^${label} must be .*; .* is not\\.$`));
  });

  test("the words that a field shows can be typed", () => {
    expect(parseKnob("top_k", "关闭", zh)).toEqual({ value: 0 });
    expect(parseKnob("temperature", "贪心", zh)).toEqual({ value: 0 });
    expect(parseKnob("top_p", "2", zh)).toEqual({ problem: "top-p 应为 0 到 1 之间的数（1 = 关闭），不能是“2”。" });
  });

  test("seed and tokens", () => {
    expect(parseSeed("", en)).toEqual({ value: null });
    expect(parseSeed("7", en)).toEqual({ value: 7 });
    expect(parseSeed("-1", en)).toHaveProperty("problem");
    expect(parseMaxTokens("40", 100, en)).toEqual({ value: 40 });
    expect(parseMaxTokens("101", 100, en)).toHaveProperty("problem", expect.stringContaining("from 1 to 100"));
    expect(parseMaxTokens("0", 100, en)).toHaveProperty("problem");
  });
});

describe.each(CONTROLS)("the $key slider", (control) => {
  test("gives back every position it was put on, all of them allowed values", () => {
    const vocabulary = 49152;
    for (let position = 0; position <= control.last(vocabulary); position++) {
      const value = control.fromPosition(position, vocabulary);
      expect(control.accepts(value)).toBe(true);
      expect(control.toPosition(value, vocabulary)).toBe(position);
    }
  });

  test("stands still at its end for values beyond it", () => {
    expect(control.toPosition(1e12, 1000)).toBe(control.last(1000));
    expect(control.toPosition(NEUTRAL[control.key], 1000)).toBeGreaterThanOrEqual(0);
  });
});

test("top-k steps run from off to the vocabulary and rise", () => {
  const steps = topKSteps(151936);
  expect(steps.slice(0, 12)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]);
  expect(steps.at(-1)).toBe(151936);
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect(topKSteps(1)).toEqual([0, 1]);
});

test("numbers are short and say what they are", () => {
  expect([1, 0.97, 0.005, 1e9, 1234.5, 0.1234567].map(formatNumber)).toEqual(["1.00", "0.97", "0.005", "1e9", "1234.50", "0.1235"]);
});

test("a broken trait leaves the sliders somewhere", () => {
  expect(readSettings(null)).toEqual(NEUTRAL);
  expect(readSettings({ temperature: "hot", top_k: 2.5, top_p: 7, min_p: NaN, seed: -1 })).toEqual(NEUTRAL);
  expect(readSettings({ temperature: 0.5, seed: 3 })).toEqual({ ...NEUTRAL, temperature: 0.5, seed: 3 });
});
