import { describe, expect, it } from "vitest";
import {
  type Rgb,
  type TableKind,
  cssColor,
  inkOn,
  pixelsOver,
  signedIndex,
  tableOf,
  weightIndex,
} from "../src/shared";

const KINDS: readonly (readonly [TableKind, boolean])[] = [
  ["weight", false],
  ["weight", true],
  ["signed", false],
  ["signed", true],
];

function channels(pixel: number): number[] {
  return [pixel & 255, (pixel >>> 8) & 255, (pixel >>> 16) & 255, pixel >>> 24];
}

describe.each(KINDS)("the table %s, dark: %s", (kind, dark) => {
  const table = tableOf(kind, dark);

  it("equals matplotlib's over its own surface", () => {
    const pixels = pixelsOver(table, table.surface);
    for (let index = 0; index < 256; index++) {
      expect(channels(pixels[index] as number)).toEqual([
        ...table.opaque.subarray(index * 3, index * 3 + 3),
        255,
      ]);
    }
  });

  it("shows nothing as nothing over any surface", () => {
    const surface: Rgb = dark ? [33, 33, 33] : [250, 245, 230];
    const zero = kind === "weight" ? weightIndex(0) : signedIndex(0, 1);
    expect(channels(pixelsOver(table, surface)[zero] as number)).toEqual([...surface, 255]);
    expect(cssColor(table, zero)).toMatch(/, 0\.000\)$/);
    expect(inkOn(table, zero)).toBeNull();
  });

  it("has a text colour of at least 4.5 to 1 wherever it is strong", () => {
    const luminance = (rgb: readonly number[]): number =>
      rgb
        .map((value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, channel) => sum + value * ([0.2126, 0.7152, 0.0722][channel] ?? 0), 0);
    for (let index = 0; index < 256; index++) {
      const ink = inkOn(table, index);
      if (ink === null) continue;
      const text = luminance([1, 3, 5].map((at) => parseInt(ink.slice(at, at + 2), 16)));
      const under = luminance([...table.opaque.subarray(index * 3, index * 3 + 3)]);
      expect((Math.max(text, under) + 0.05) / (Math.min(text, under) + 0.05)).toBeGreaterThanOrEqual(4.5);
    }
  });
});

it("finds the entry of a value, whatever arrives", () => {
  expect([0, 1, 0.5, NaN, -3, 9].map(weightIndex)).toEqual([0, 255, 128, 0, 0, 255]);
  expect([-2, 0, 2, NaN, 99, -Infinity].map((value) => signedIndex(value, 2))).toEqual([
    0, 128, 255, 128, 255, 0,
  ]);
  expect(signedIndex(1, 0)).toBe(128);
});
