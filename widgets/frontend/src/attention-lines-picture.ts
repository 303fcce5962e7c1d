/** Which lines are drawn between two columns of tokens, and where: pure functions. */

import { type View, type WireArray, type WireToken, decodeFloats, decodeInts } from "./shared";

export type Side = "query" | "key";

/** A token of one of the columns. */
export interface Place {
  side: Side;
  index: number;
}

export interface LinesView extends View {
  /** Those that attend, and those attended to; `null` where they are the prompt's, or the same. */
  query_tokens: WireToken[] | null;
  key_tokens: WireToken[] | null;
  layer: number;
  heads: number[];
  /** How many heads are chosen, and how many the layer has. */
  chosen: number;
  of: number;
  head: WireArray;
  query: WireArray;
  key: WireArray;
  weight: WireArray;
  first: WireArray;
  seen: WireArray;
  floor: number;
  left_out: number;
  not_numbers: number;
}

/** All weights of one token, where the view has only the largest. */
export interface Asked {
  request: number;
  side: Side;
  index: number;
  weights: WireArray;
}

/** Lines, the largest weight first and what is no number last. `head` counts the heads that are shown. */
export interface Lines {
  head: Int32Array;
  query: Int32Array;
  key: Int32Array;
  weight: Float32Array;
}

export interface LinesPicture extends Lines {
  request: number;
  /** Whether those that attend, or are attended to, are the prompt's. */
  prompt: Record<Side, boolean>;
  tokens: Record<Side, WireToken[]>;
  layer: number;
  heads: number[];
  chosen: number;
  of: number;
  seen: Int32Array;
  floor: number;
  leftOut: number;
  notNumbers: number;
}

/** The smallest weight that is drawn unless somebody chooses another. */
const USUAL = 0.05;

function ordered(lines: Lines): Lines {
  const rank = (at: number): number => (Number.isFinite(lines.weight[at]) ? (lines.weight[at] as number) : -1);
  const order = Array.from(lines.weight.keys()).sort((one, other) => rank(other) - rank(one));
  const pick = (from: Int32Array): Int32Array => Int32Array.from(order, (at) => from[at] as number);
  return {
    head: pick(lines.head),
    query: pick(lines.query),
    key: pick(lines.key),
    weight: Float32Array.from(order, (at) => lines.weight[at] as number),
  };
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readLines(view: LinesView): LinesPicture {
  const ints = (name: "head" | "query" | "key"): Int32Array => decodeInts(view[name], `view.${name}`, 1).values;
  const heads = view.heads.length;
  const asking = view.query_tokens ?? view.tokens;
  const asked = view.key_tokens ?? asking;
  const [rows = 0] = decodeInts(view.seen, "view.seen", 2).shape;
  const first = decodeFloats(view.first, "view.first", 2);
  const parts = { head: ints("head"), query: ints("query"), key: ints("key") };
  const weight = decodeFloats(view.weight, "view.weight", 1).values;
  if (rows !== asking.length || first.shape[0] !== heads || first.shape[1] !== rows) {
    throw new Error(`view.seen and first are of ${rows} and ${first.shape[1]} rows, not ${asking.length}.`);
  }
  if (Object.values(parts).some((part) => part.length !== weight.length)) {
    throw new Error("view.head, query, key and weight are of different lengths.");
  }
  // The first key's weights travel apart, so that hiding them asks nobody.
  const drawn = Array.from(first.values.keys()).filter((at) => first.values[at] !== 0);
  const with_ = (from: Int32Array, more: (at: number) => number): Int32Array =>
    Int32Array.from([...from, ...drawn.map(more)]);
  const all = ordered({
    head: with_(parts.head, (at) => Math.floor(at / rows)),
    query: with_(parts.query, (at) => at % rows),
    key: with_(parts.key, () => 0),
    weight: Float32Array.from([...weight, ...drawn.map((at) => first.values[at] as number)]),
  });
  return {
    ...all,
    request: view.request,
    prompt: { query: view.query_tokens === null, key: asked === view.tokens },
    tokens: { query: asking, key: asked },
    layer: view.layer,
    heads: view.heads,
    chosen: view.chosen,
    of: view.of,
    seen: decodeInts(view.seen, "view.seen", 2).values,
    floor: view.floor,
    leftOut: view.left_out,
    notNumbers: view.not_numbers,
  };
}

/** Whether a query may see a key at all. */
export function sees(picture: LinesPicture, query: number, key: number): boolean {
  return key >= (picture.seen[query * 2] ?? 0) && key < (picture.seen[query * 2 + 1] ?? 0);
}

/** The weights of one token, (head, token of the other column). What is too small to be there is `null`. */
export interface Row {
  weights: (number | null)[][];
}

/** A token's weights with all others: exact, or `null` for what the view leaves out. */
export function rowOf(picture: LinesPicture, place: Place, asked: Partial<Asked>): Row {
  const others = picture.tokens[place.side === "query" ? "key" : "query"].length;
  const heads = picture.heads.length;
  if (isAsked(picture, place, asked)) {
    const { values } = decodeFloats(asked.weights, "asked.weights", 2);
    if (values.length !== heads * others) throw new Error(`asked.weights holds ${values.length} weights.`);
    return { weights: picture.heads.map((_, head) => [...values.subarray(head * others, (head + 1) * others)]) };
  }
  const unknown = picture.leftOut > 0 ? null : 0;
  const weights = picture.heads.map(() => new Array<number | null>(others).fill(unknown));
  for (let at = 0; at < picture.weight.length; at++) {
    if (picture[place.side][at] !== place.index) continue;
    const other = place.side === "query" ? picture.key[at] : picture.query[at];
    (weights[picture.head[at] as number] as (number | null)[])[other as number] = picture.weight[at] as number;
  }
  return { weights };
}

function isAsked(picture: LinesPicture, place: Place, asked: Partial<Asked>): asked is Asked {
  return asked.request === picture.request && asked.side === place.side && asked.index === place.index;
}

export interface Wanted {
  /** The only token whose lines are drawn; `null` for all. */
  place: Place | null;
  /** Which heads are shown. */
  shown: readonly boolean[];
  threshold: number;
  hideFirst: boolean;
}

/** The lines that are drawn, strongest first; weights that are no numbers always are. */
export function chosenLines(picture: LinesPicture, wanted: Wanted, asked: Partial<Asked> = {}): Lines {
  const { place, shown, threshold, hideFirst } = wanted;
  const from = place !== null && isAsked(picture, place, asked) ? linesOf(picture, place, asked) : picture;
  const kept: number[] = [];
  for (let at = 0; at < from.weight.length; at++) {
    const weight = from.weight[at] as number;
    if (weight < threshold || weight === 0) continue;
    if (!shown[from.head[at] as number] || (hideFirst && from.key[at] === 0)) continue;
    if (place === null || from[place.side][at] === place.index) kept.push(at);
  }
  const pick = (values: Int32Array): Int32Array => Int32Array.from(kept, (at) => values[at] as number);
  return {
    head: pick(from.head),
    query: pick(from.query),
    key: pick(from.key),
    weight: Float32Array.from(kept, (at) => from.weight[at] as number),
  };
}

function linesOf(picture: LinesPicture, place: Place, asked: Asked): Lines {
  const found = { head: [] as number[], query: [] as number[], key: [] as number[], weight: [] as number[] };
  rowOf(picture, place, asked).weights.forEach((weights, head) =>
    weights.forEach((weight, other) => {
      const [query, key] = place.side === "query" ? [place.index, other] : [other, place.index];
      if (weight === 0 || weight === null || !sees(picture, query, key)) return;
      found.head.push(head);
      found.query.push(query);
      found.key.push(key);
      found.weight.push(weight);
    }),
  );
  return ordered({
    head: Int32Array.from(found.head),
    query: Int32Array.from(found.query),
    key: Int32Array.from(found.key),
    weight: Float32Array.from(found.weight),
  });
}

/** The threshold to begin with: 0.05, or less where that would leave fewer lines than tokens. */
export function usualThreshold(picture: LinesPicture, shown: readonly boolean[], hideFirst: boolean): number {
  let left = picture.tokens.query.length;
  for (let at = 0; at < picture.weight.length; at++) {
    const weight = picture.weight[at] as number;
    if (!(weight > 0) || !shown[picture.head[at] as number] || (hideFirst && picture.key[at] === 0)) continue;
    if (weight >= USUAL) left -= 1;
    else if ((left -= 1) <= 0) return Math.max(picture.floor, weight);
    if (left <= 0) return Math.max(picture.floor, USUAL);
  }
  return picture.floor;
}

/** From a slider's place, 0 to 1, to a threshold between `floor` and 1: the same way for each ten times. */
export function thresholdAt(place: number, floor: number): number {
  if (place <= 0) return floor;
  return Math.max(floor, LOWEST ** (1 - Math.min(1, place)));
}

/** Back from a threshold to the slider's place. */
export function placeOf(threshold: number): number {
  return threshold <= LOWEST ? 0 : 1 - Math.log(threshold) / Math.log(LOWEST);
}

const LOWEST = 1e-4;

export interface Stroke {
  from: number;
  to: number;
  head: number;
  weight: number;
}

/** The lines that cross what is seen of the columns, weakest first, in pixels from its top; at most `most`. */
export function strokes(
  lines: Lines,
  { rowHeight, top, height, heads }: { rowHeight: number; top: number; height: number; heads: number },
  most: number,
): Stroke[] {
  const found: Stroke[] = [];
  // Lines of several heads between the same tokens lie side by side, in the order of the heads.
  const apart = Math.min(4, (rowHeight - 4) / Math.max(1, heads));
  for (let at = 0; at < lines.weight.length && found.length < most; at++) {
    const head = lines.head[at] as number;
    const shift = rowHeight / 2 + (head - (heads - 1) / 2) * apart - top;
    const from = (lines.query[at] as number) * rowHeight + shift;
    const to = (lines.key[at] as number) * rowHeight + shift;
    if ((from < 0 && to < 0) || (from > height && to > height)) continue;
    found.push({ from, to, head, weight: lines.weight[at] as number });
  }
  return found.reverse();
}

/** How opaque a line is: the square root, so that small weights can be seen beside large ones. */
export function opacity(weight: number): number {
  return Number.isFinite(weight) ? Math.max(0.1, Math.min(1, Math.sqrt(Math.max(0, weight)))) : 1;
}
