/** How large the parts of the attention panel are: pure functions of the room there is. */

import { type Lattice, type WireToken, snapped, tokenName, visible } from "./shared";

/** A token as an axis label: without its leading space, which the chips and the tooltip keep. */
export function axisLabel(token: WireToken): string {
  const text = visible(token.text);
  const bare = text.trim();
  return bare === "" ? "␣".repeat(Math.max(1, text.length)) : bare;
}

// Scripts that stand upright in a vertical line; everything else is turned with the line.
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Extended_Pictographic}\p{RI}\u3000-\u303f\uff00-\uff60]/u;

/** Whether a label is written with upright characters when its line is vertical. */
export function isUpright(label: string): boolean {
  return WIDE.test(label);
}

/** About how many pixels a label needs; measuring a thousand of them would cost more than the map. */
export function labelWidth(label: string): number {
  let width = 0;
  for (const character of label) width += WIDE.test(character) ? 11.5 : 6.7;
  return width;
}

/** Sizes of the large map. The lattice begins at the corner between both axes' labels. */
export interface MapLayout {
  lattice: Lattice;
  /** Room for the labels left of the map and above it. */
  gutterX: number;
  gutterY: number;
  width: number;
  height: number;
}

const LABEL_GAP = 8;
const LONGEST_LABEL = 96;
const LARGEST_CELL = { width: 30, height: 25.5 };
/** A map higher than this no longer fits a screen together with its prompt, unless its cells would get too small. */
const HIGHEST_MAP = 400;
const SMALLEST_CELL = 2;
/** The cells of a map are a little wider than high, as in print. */
const ASPECT = 1.18;

/** Lays out a map of `rows` x `cols` cells in `width` CSS pixels, with room for so many at the left of the cells. */
export function layoutMap(
  rows: number,
  cols: number,
  rowLabels: readonly string[],
  colLabels: readonly string[],
  width: number,
  ratio: number,
  beside = 0,
): MapLayout {
  const longest = (labels: readonly string[]): number =>
    Math.min(LONGEST_LABEL, Math.max(16, ...labels.map(labelWidth))) + LABEL_GAP;
  const gutterX = Math.ceil(longest(rowLabels)) + beside;
  const gutterY = Math.ceil(longest(colLabels));
  const room = Math.max(1, width - gutterX);
  const high = Math.min(LARGEST_CELL.height, Math.max(SMALLEST_CELL, HIGHEST_MAP / rows));
  const wide = Math.min(LARGEST_CELL.width, room / cols, high * ASPECT);
  const pitchX = snapped(wide, ratio);
  const pitchY = snapped(Math.min(high, wide), ratio);
  const gap = Math.min(pitchX, pitchY) >= 6 ? 1 / ratio : 0;
  const lattice = { left: gutterX, top: gutterY, rows, cols, pitchX, pitchY, gap };
  return {
    lattice,
    gutterX,
    gutterY,
    width: gutterX + cols * pitchX,
    height: gutterY + rows * pitchY,
  };
}

/** Stretches `rows` x `cols` cells over the place of a whole map, so that zooming moves nothing else. */
export function stretched(rows: number, cols: number, whole: MapLayout, ratio: number): MapLayout {
  const { gutterX, gutterY, width, height } = whole;
  const pitchX = (width - gutterX) / cols;
  const pitchY = (height - gutterY) / rows;
  const even = [pitchX, pitchY].every((pitch) => Math.abs(pitch * ratio - Math.round(pitch * ratio)) < 1e-6);
  const gap = even && Math.min(pitchX, pitchY) >= 6 ? 1 / ratio : 0;
  return { ...whole, lattice: { left: gutterX, top: gutterY, rows, cols, pitchX, pitchY, gap } };
}

/** Sizes of the thumbnails: layers are columns, heads are rows. */
export interface HeadsLayout {
  lattice: Lattice;
  width: number;
  height: number;
}

const LARGEST_THUMBNAIL = { width: 40, height: 32 };
/** All heads stay in one glance: sixty-four of them get flatter thumbnails instead of a second screen. */
const HIGHEST_GRID = 560;
/** Room for the heads' numbers at the left and the layers' numbers below. */
const NUMBERS_X = 22;
const NUMBERS_Y = 18;

/** Lays out `layers` x `heads` thumbnails in `width` CSS pixels. */
export function layoutHeads(layers: number, heads: number, width: number, ratio: number): HeadsLayout {
  const room = Math.max(1, width - NUMBERS_X);
  const pitchX = snapped(Math.min(LARGEST_THUMBNAIL.width, room / Math.max(1, layers)), ratio);
  const pitchY = snapped(
    Math.min(LARGEST_THUMBNAIL.height, pitchX * 0.92, HIGHEST_GRID / Math.max(1, heads)),
    ratio,
  );
  // Three pixels between thumbnails of normal size; tiny ones keep most of their room for the picture.
  const gap = snapped(Math.min(3, pitchX / 5, pitchY / 5), ratio);
  const lattice = { left: NUMBERS_X, top: 0, rows: heads, cols: layers, pitchX, pitchY, gap };
  return { lattice, width: NUMBERS_X + layers * pitchX, height: heads * pitchY + NUMBERS_Y };
}

const NAME_HEIGHT = 14;

/** Lays out so many thumbnails in rows that fill `width` CSS pixels, each with room for its name below. */
export function layoutOrdered(count: number, width: number, ratio: number): HeadsLayout & { named: number } {
  const { width: wide, height: high } = LARGEST_THUMBNAIL;
  const cols = Math.max(1, Math.floor(width / wide));
  const rows = Math.ceil(count / cols);
  const pitchY = high + NAME_HEIGHT;
  const lattice = { left: 0, top: 0, rows, cols, pitchX: wide, pitchY, gap: snapped(3, ratio) };
  return { lattice, width: cols * wide, height: rows * pitchY, named: NAME_HEIGHT };
}

/** The room a list of weights needs beside the map, in CSS pixels. */
export const LIST_WIDTH = 184;
export const LIST_GAP = 24;

/** Whether the list of weights goes beside the map; it goes below where the map would have to shrink for it. */
export function listBeside(rows: number, cols: number, width: number): boolean {
  const cell = (width - LIST_WIDTH - LIST_GAP - LONGEST_LABEL * 0.75) / Math.max(1, cols);
  return cell >= Math.min(18, (HIGHEST_MAP / Math.max(1, rows)) * ASPECT);
}

/** Tokens `first` to `last` in a sentence. */
export function spanName(tokens: readonly WireToken[], first: number, last: number): string {
  const name = (position: number): string => {
    const token = tokens[position];
    return token === undefined ? `position ${position}` : tokenName(token);
  };
  return first === last ? name(first) : `${name(first)} … ${name(last)}`;
}
