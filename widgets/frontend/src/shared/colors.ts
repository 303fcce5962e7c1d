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
  /** 256 x 3 bytes: the colours over the table's own surface, as matplotlib has them. */
  opaque: Uint8Array;
  /** 256 x 4 numbers: the same as red, green, blue from 0 to 255 and alpha from 0 to 1. */
  clear: Float32Array;
  /** The table's own surface. */
  surface: Rgb;
}

export type Rgb = readonly [red: number, green: number, blue: number];

/** A background, and the text colour that can be read on it (`null`: the theme's own). */
export interface Swatch {
  background: string;
  ink: string | null;
  /** Below or above 0: a broken or a whole line under the words, for whom the two colours look alike. */
  sign?: number;
}

const SIZE = 256;

/** The colours of a table as `colors.generated` writes it: every one a step from the one before. */
function bytesOf(packed: string): Uint8Array {
  const [first = "", steps = "", taken = ""] = packed.split(" ");
  const letter = (text: string, at: number): number => text.charCodeAt(at) - 48;
  const bytes = new Uint8Array(SIZE * 3);
  for (let at = 0; at < 3; at++) bytes[at] = parseInt(first.slice(at * 2, at * 2 + 2), 16);
  for (let at = 3; at < bytes.length; at++) {
    const step = letter(taken, Math.floor(at / 3) - 1) * 3 + (at % 3);
    bytes[at] = (bytes[at - 3] as number) + letter(steps, step) - 5;
  }
  return bytes;
}

/** The least alpha, and with it the colour, that gives `color` over `surface`. */
function transparent(color: Rgb, surface: Rgb): [number, number, number, number] {
  const needed = color.map((value, channel) => {
    const under = surface[channel] as number;
    const room = value > under ? 255 - under : under;
    return value === under || room === 0 ? 0 : Math.abs(value - under) / room;
  });
  const alpha = Math.max(...needed);
  if (alpha === 0) return [0, 0, 0, 0];
  const over = (channel: 0 | 1 | 2): number => surface[channel] + (color[channel] - surface[channel]) / alpha;
  return [over(0), over(1), over(2), alpha];
}

function rgbOf(bytes: Uint8Array, index: number): Rgb {
  const [red = 0, green = 0, blue = 0] = bytes.subarray(index * 3, index * 3 + 3);
  return [red, green, blue];
}

function build(kind: TableKind, packed: string): Table {
  const opaque = bytesOf(packed);
  const surface = rgbOf(opaque, kind === "weight" ? 0 : SIZE / 2);
  const clear = new Float32Array(SIZE * 4);
  for (let index = 0; index < SIZE; index++) clear.set(transparent(rgbOf(opaque, index), surface), index * 4);
  return { kind, opaque, clear, surface };
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
  const [red = 0, green = 0, blue = 0, alpha = 0] = table.clear.subarray(index * 4, index * 4 + 4);
  return `rgba(${Math.round(red)}, ${Math.round(green)}, ${Math.round(blue)}, ${alpha.toFixed(3)})`;
}

/** One pixel as a canvas keeps it: red in the lowest byte, alpha in the highest (every browser is little-endian). */
export function pixelOf([red, green, blue]: Rgb, alpha = 1): number {
  const byte = (value: number): number => Math.max(0, Math.min(255, Math.round(value)));
  return ((byte(alpha * 255) << 24) | (byte(blue) << 16) | (byte(green) << 8) | byte(red)) >>> 0;
}

/** `color` at `alpha` over `under`. */
export function mixed(color: Rgb, alpha: number, under: Rgb): Rgb {
  const over = (channel: 0 | 1 | 2): number => color[channel] * alpha + under[channel] * (1 - alpha);
  return [over(0), over(1), over(2)];
}

/**
 * The 256 colours as opaque pixels over `surface`. Mixed here and not by the canvas, whose eight bits a channel turn
 * faint colours into other ones.
 */
export function pixelsOver(table: Table, surface: Rgb): Uint32Array {
  return Uint32Array.from({ length: SIZE }, (_, index) => {
    const [red = 0, green = 0, blue = 0, alpha = 0] = table.clear.subarray(index * 4, index * 4 + 4);
    return pixelOf(mixed([red, green, blue], alpha, surface));
  });
}

function relativeLuminance(color: Rgb): number {
  const linear = color.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (linear[0] ?? 0) + 0.7152 * (linear[1] ?? 0) + 0.0722 * (linear[2] ?? 0);
}

// Any lighter black would fall short of 4.5 to 1 on middle blues.
const INK_DARK = "#000000";
const INK_LIGHT = "#ffffff";

/** The text colour that reads best on entry `index` over `surface`; `null` where the theme's own text colour does. */
export function inkOn(table: Table, index: number, surface: Rgb = table.surface): string | null {
  const [red = 0, green = 0, blue = 0, alpha = 0] = table.clear.subarray(index * 4, index * 4 + 4);
  if (alpha < 0.25) return null;
  // Black and white contrast equally with a relative luminance of 0.179 (WCAG 2.1).
  return relativeLuminance(mixed([red, green, blue], alpha, surface)) > 0.179 ? INK_DARK : INK_LIGHT;
}

/** Entry `index` as the background and text colour of something with words in it that stands on `surface`. */
export function swatch(table: Table, index: number, surface: Rgb | null): Swatch {
  return { background: cssColor(table, index), ink: inkOn(table, index, surface ?? table.surface) };
}

/** A CSS gradient through the whole table, for legends. */
export function gradient(table: Table): string {
  const stops = Array.from({ length: 17 }, (_, step) => cssColor(table, Math.min(255, step * 16)));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
