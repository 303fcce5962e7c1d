/** An image, the grid of its patches, and what a position attends to there: decoded, and pure functions over it. */

import { joined } from "./attention-text-picture";
import { type View, type WireArray, type WireToken, decodeBytes, decodeFloats, decodeInts } from "./shared";

export interface PicturesView extends View {
  layer: number;
  heads: number[];
  /** Whether the positions are those of patches; otherwise they are a text's, where images have places. */
  vision: boolean;
  /** (row, column, 3): red, green and blue. */
  picture: WireArray;
  true_colors: boolean;
  /** (row, column): the position of each cell of the grid. */
  places: WireArray;
  class_token: number | null;
  query: number;
  /** The first query whose weights are there, and how many are. */
  queries: [first: number, count: number];
  /** (head, query, key). */
  weights: WireArray;
  not_numbers: number;
}

export interface Picture {
  tokens: WireToken[];
  layer: number;
  heads: number[];
  vision: boolean;
  /** Red, green, blue and opacity of each pixel. */
  pixels: Uint8ClampedArray<ArrayBuffer>;
  width: number;
  height: number;
  trueColors: boolean;
  rows: number;
  cols: number;
  places: Int32Array;
  classToken: number | null;
  query: number;
  first: number;
  queries: number;
  keys: number;
  weights: Float32Array;
  notNumbers: number;
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readPicture(view: PicturesView): Picture {
  const image = decodeBytes(view.picture, "view.picture", 3);
  const [height = 0, width = 0, channels] = image.shape;
  const places = decodeInts(view.places, "view.places", 2);
  const [rows = 0, cols = 0] = places.shape;
  const weights = decodeFloats(view.weights, "view.weights", 3);
  const [heads, queries = 0, keys = 0] = weights.shape;
  if (channels !== 3) throw new Error(`view.picture has ${channels} channels, not 3.`);
  if (heads !== view.heads.length || queries !== view.queries[1]) {
    throw new Error(`view.weights are of ${heads} heads and ${queries} queries, not ${view.heads.length} and ${view.queries[1]}.`);
  }
  if (places.values.some((place) => place < 0 || place >= keys)) throw new Error("view.places name no key.");
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let at = 0; at < width * height; at++) pixels.set(image.values.subarray(at * 3, at * 3 + 3), at * 4);
  return {
    tokens: view.tokens,
    layer: view.layer,
    heads: view.heads,
    vision: view.vision,
    pixels,
    width,
    height,
    trueColors: view.true_colors,
    rows,
    cols,
    places: places.values,
    classToken: view.class_token,
    query: view.query,
    first: view.queries[0],
    queries,
    keys,
    weights: weights.values,
    notNumbers: view.not_numbers,
  };
}

/** What the heads give the patches of the image for one query. */
export interface Laid {
  /** The name of what is shown: a head, or `null` for all of them together. */
  head: number | null;
  /** Row by row of the grid. */
  cells: Float32Array;
  /** The sum over the image, and what the class token gets. */
  share: number;
  classToken: number | null;
}

/** One for the chosen heads together, and where they are several one for each; empty where the query is not there. */
export function laid(picture: Picture, query: number, largest: boolean): Laid[] {
  const at = query - picture.first;
  if (at < 0 || at >= picture.queries) return [];
  const { keys, queries, heads, places } = picture;
  const rows = heads.map((_, head) => {
    const from = (head * queries + at) * keys;
    return picture.weights.subarray(from, from + keys);
  });
  const one = (head: number | null, row: Float32Array): Laid => {
    const cells = Float32Array.from(places, (place) => row[place] as number);
    const share = cells.reduce((sum, weight) => sum + weight, 0);
    return { head, cells, share, classToken: picture.classToken === null ? null : (row[picture.classToken] as number) };
  };
  if (heads.length === 1) return [one(heads[0] as number, rows[0] as Float32Array)];
  const all = new Float32Array(heads.length * keys);
  rows.forEach((row, head) => all.set(row, head * keys));
  return [one(null, joined(all, heads.length, largest)), ...rows.map((row, head) => one(heads[head] as number, row))];
}

/** The largest weight of any cell: what the strongest colour means. */
export function limitOf(shown: readonly Laid[]): number {
  let most = 0;
  for (const { cells } of shown) for (const weight of cells) if (Number.isFinite(weight) && weight > most) most = weight;
  return most;
}
