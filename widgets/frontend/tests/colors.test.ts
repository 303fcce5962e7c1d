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

  // Its own, JupyterLab's, and that of high contrast.
  const surfaces: readonly Rgb[] = dark ? [table.surface, [33, 33, 33], [0, 0, 0]] : [table.surface, [255, 255, 255]];

  it.each(surfaces)("has a text colour of at least 4.5 to 1 wherever it is strong, over %i %i %i", (...surface) => {
    const luminance = (rgb: readonly number[]): number =>
      rgb
        .map((value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, channel) => sum + value * ([0.2126, 0.7152, 0.0722][channel] ?? 0), 0);
    for (let index = 0; index < 256; index++) {
      const ink = inkOn(table, index, surface);
      if (ink === null) continue;
      const text = luminance([1, 3, 5].map((at) => parseInt(ink.slice(at, at + 2), 16)));
      const under = luminance(channels(pixelsOver(table, surface)[index] as number).slice(0, 3));
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

/** How a colour is seen without the cones for `missing`, in linear light (Viénot, Brettel and Mollon, 1999). */
function seen(rgb: readonly number[], missing: "red" | "green" | "none"): number[] {
  const [r = 0, g = 0, b = 0] = rgb.map((value) =>
    value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4,
  );
  if (missing === "red") {
    const mixed = 0.11238 * r + 0.88762 * g;
    return [mixed, mixed, 0.00401 * r - 0.00401 * g + b];
  }
  if (missing === "green") {
    const mixed = 0.29275 * r + 0.70725 * g;
    return [mixed, mixed, -0.02234 * r + 0.02234 * g + b];
  }
  return [r, g, b];
}

/** CIE lightness and the two opponent axes of linear light. */
function lab(linear: readonly number[]): [number, number, number] {
  const [r = 0, g = 0, b = 0] = linear;
  const f = (value: number): number => (value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 16 / 116);
  const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
  const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
  const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

describe.each(["none", "red", "green"] as const)("for eyes that miss %s", (missing) => {
  const colors = (kind: TableKind, dark: boolean): [number, number, number][] => {
    const { opaque } = tableOf(kind, dark);
    return Array.from({ length: 256 }, (_, index) =>
      lab(seen([...opaque.subarray(index * 3, index * 3 + 3)], missing)),
    );
  };
  /** Falls on a light surface and rises on a dark one, but for the rounding of bytes. */
  const oneWay = (lightness: number[], dark: boolean): boolean =>
    lightness.every((value, at) => at === 0 || (dark ? 1 : -1) * (value - (lightness[at - 1] as number)) > -0.3);

  it.each([false, true])("weights grow one way in lightness, far enough to be told apart, dark: %s", (dark) => {
    const lightness = colors("weight", dark).map(([value]) => value);
    expect(oneWay(lightness, dark)).toBe(true);
    expect(Math.abs((lightness[255] as number) - (lightness[0] as number))).toBeGreaterThan(60);
  });

  it.each([false, true])("both arms leave the middle one way, and differ from each other, dark: %s", (dark) => {
    const all = colors("signed", dark);
    const lightness = all.map(([value]) => value);
    expect(oneWay(lightness.slice(128), dark)).toBe(true);
    expect(oneWay(lightness.slice(0, 129).reverse(), dark)).toBe(true);
    // A difference of 2.3 can just be seen; from a tenth of the limit on, the signs differ by more than twice that.
    for (let step = 13; step < 128; step++) {
      const [minus, plus] = [all[128 - step], all[128 + step]] as [[number, number, number], [number, number, number]];
      const apart = Math.hypot(...minus.map((value, axis) => value - (plus[axis] as number)));
      expect(apart, `step ${step}`).toBeGreaterThan(5);
    }
  });
});
