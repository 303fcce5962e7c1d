/**
 * Colours of data. The tables are matplotlib's `explorer_weight` and `explorer_signed` (and `_dark`), so that a figure in
 * a paper equals the screen.
 *
 * Every colour is kept as the most transparent one that gives the table's colour over the table's own surface. Over that
 * surface nothing changes; over another theme's surface zero still looks like nothing.
 */

import { TABLES } from "./colors.generated";

/** "weight": 0 to 1, from the surface to blue. "signed": -1 to 1, orange against, blue for, the surface at 0. */
export type TableKind = "weight" | "signed";

export interface Table {
  kind: TableKind;
  /** 256 pixels as a canvas keeps them: red in the lowest byte, alpha in the highest (every browser is little-endian). */
  pixels: Uint32Array;
  /** 256 x 3 bytes: the same colours, opaque, over the table's own surface. */
  opaque: Uint8Array;
}

/** A background, and the text colour that can be read on it (`null`: the theme's own). */
export interface Swatch {
  background: string;
  ink: string | null;
}

const SIZE = 256;

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The least alpha, and with it the colour, that gives `color` over `surface`. */
function transparent(color: number[], surface: number[]): [number, number, number, number] {
  let alpha = 0;
  color.forEach((value, channel) => {
    const under = surface[channel] ?? 0;
    const room = value > under ? 255 - under : under;
    if (value !== under && room > 0) alpha = Math.max(alpha, Math.abs(value - under) / room);
  });
  // Canvas keeps eight bits: rounding alpha up leaves every channel inside its range.
  const steps = Math.min(255, Math.ceil(alpha * 255));
  if (steps === 0) return [0, 0, 0, 0];
  const over = color.map((value, channel) => {
    const under = surface[channel] ?? 0;
    return Math.min(255, Math.max(0, Math.round(under + ((value - under) * 255) / steps)));
  });
  return [over[0] ?? 0, over[1] ?? 0, over[2] ?? 0, steps];
}

function build(kind: TableKind, base64: string): Table {
  const opaque = bytesOf(base64);
  const at = (index: number): number[] => [...opaque.subarray(index * 3, index * 3 + 3)];
  const surface = at(kind === "weight" ? 0 : SIZE / 2);
  const pixels = new Uint32Array(SIZE);
  for (let index = 0; index < SIZE; index++) {
    const [red, green, blue, alpha] = transparent(at(index), surface);
    pixels[index] = ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return { kind, pixels, opaque };
}

const built = new Map<string, Table>();

/** The table for the theme. */
export function tableOf(kind: TableKind, dark: boolean): Table {
  const name = dark ? (`${kind}_dark` as const) : kind;
  let table = built.get(name);
  if (table === undefined) {
    table = build(kind, TABLES[name]);
    built.set(name, table);
  }
  return table;
}

/** The entry for a weight or probability from 0 to 1; NaN counts as 0. */
export function weightIndex(value: number): number {
  return value > 0 ? Math.min(255, Math.round(value * 255)) : 0;
}

/** The entry for a value between -limit and limit; NaN and a limit of 0 count as nothing. */
export function signedIndex(value: number, limit: number): number {
  const part = limit > 0 ? value / limit : 0;
  if (!Number.isFinite(part)) return part === Infinity ? 255 : part === -Infinity ? 0 : SIZE / 2;
  return Math.max(0, Math.min(255, Math.round(127.5 + 127.5 * part)));
}

/** Entry `index` as a CSS colour, transparent where the value is nothing. */
export function cssColor(table: Table, index: number): string {
  const pixel = table.pixels[index] ?? 0;
  const alpha = (pixel >>> 24) / 255;
  return `rgba(${pixel & 255}, ${(pixel >> 8) & 255}, ${(pixel >> 16) & 255}, ${alpha.toFixed(3)})`;
}

function relativeLuminance(red: number, green: number, blue: number): number {
  const linear = [red, green, blue].map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (linear[0] ?? 0) + 0.7152 * (linear[1] ?? 0) + 0.0722 * (linear[2] ?? 0);
}

const INK_DARK = "#14171c";
const INK_LIGHT = "#ffffff";

/** The text colour that reads best over entry `index`; `null` where the theme's own text colour does. */
export function inkOn(table: Table, index: number): string | null {
  if ((table.pixels[index] ?? 0) >>> 24 < 64) return null;
  const [red = 0, green = 0, blue = 0] = table.opaque.subarray(index * 3, index * 3 + 3);
  // Black and white contrast equally with a relative luminance of 0.179 (WCAG 2.1).
  return relativeLuminance(red, green, blue) > 0.179 ? INK_DARK : INK_LIGHT;
}

/** Entry `index` as the background and text colour of something with words in it. */
export function swatch(table: Table, index: number): Swatch {
  return { background: cssColor(table, index), ink: inkOn(table, index) };
}

/** A CSS gradient through the whole table, for legends. */
export function gradient(table: Table): string {
  const stops = Array.from({ length: 17 }, (_, step) => cssColor(table, Math.min(255, step * 16)));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
