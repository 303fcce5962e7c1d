/** What TextView's traits hold: two texts, and the weights of one token of one of them. No drawing here. */

import { type Carried, carriedSide } from "./attention-carried";
import type { Reach, Selection } from "./attention-state";
import { type View, type WireArray, type WireToken, checkView, decodeBytes, decodeFloats } from "./shared";

/** The texts: the one that attends, and the one that is attended to. */
export type Side = "query" | "key";

export interface TextViewState extends View {
  /** Where they are not the prompt's; of the keys, where they are not those that attend. */
  query_tokens: WireToken[] | null;
  key_tokens: WireToken[] | null;
  heads_per_layer: number[];
  stack: string;
  kind: string;
}

/** Which token's weights, and of which heads. `side` is the token's own; the weights are those of the other side. */
export interface Wanted {
  layer: number;
  heads: number[];
  side: Side;
  index: number;
}

export interface WireLine extends Wanted {
  request: number;
  /** (head, position). */
  weights: WireArray;
  /** (position,): whether the one sees the other by the model's rule. */
  visible: WireArray;
  /** (head + 1, 2): the largest weight of each head's map, and last of their mean; of all, and without the first key's. */
  largest: WireArray;
}

export interface TextPicture {
  request: number;
  prompt: WireToken[];
  tokens: Record<Side, WireToken[]>;
  /** Whether a text attends to itself. */
  same: boolean;
  headsPerLayer: number[];
  stack: string;
  kind: string;
}

export interface Line extends Wanted {
  positions: number;
  weights: Float32Array;
  visible: Uint8Array;
  largest: Float32Array;
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readText(view: TextViewState): TextPicture {
  const { request, tokens: prompt } = checkView(view);
  const query = view.query_tokens ?? prompt;
  const key = view.key_tokens ?? query;
  const headsPerLayer = Array.isArray(view.heads_per_layer) ? view.heads_per_layer : [];
  return { request, prompt, tokens: { query, key }, same: key === query, headsPerLayer, stack: view.stack, kind: view.kind };
}

/** Decodes the weights that arrived; `null` where they are not of this picture. Throws where they do not fit it. */
export function readLine(line: Partial<WireLine> | null | undefined, picture: TextPicture): Line | null {
  if (line?.request !== picture.request) return null;
  const { layer, heads, side, index } = line as WireLine;
  const { values: weights, shape } = decodeFloats(line.weights!, "line.weights", 2);
  const { values: visible } = decodeBytes(line.visible!, "line.visible", 1);
  const { values: largest } = decodeFloats(line.largest!, "line.largest", 2);
  const positions = picture.tokens[other(side)].length;
  if (shape[0] !== heads.length || shape[1] !== positions || visible.length !== positions) {
    throw new Error(`line.weights is for ${shape.join(" x ")} weights, not ${heads.length} x ${positions}.`);
  }
  return { layer, heads, side, index, positions, weights, visible, largest };
}

export const other = (side: Side): Side => (side === "query" ? "key" : "query");

/** Which weights the selection asks for; the same choice as in Python. */
export function wantedOf(picture: TextPicture, selection: Partial<Selection>, attends: boolean, stacked: boolean): Wanted {
  const layer = selection.layer ?? 0;
  const side = attends ? "query" : "key";
  const chosen = attends ? selection.query : (selection.key ?? (picture.same ? selection.query : null));
  const last = picture.tokens[side].length - 1;
  const index = chosen == null || chosen > last ? last : chosen;
  const heads = stacked
    ? Array.from({ length: picture.headsPerLayer[layer] ?? 0 }, (_, head) => head)
    : (selection.heads ?? [0]);
  return { layer, heads, side, index };
}

export function isWanted(line: Line | null, { layer, heads, side, index }: Wanted): line is Line {
  return line?.layer === layer && line.side === side && line.index === index && String(line.heads) === String(heads);
}

/** The same from what a saved page carries; `null` where it does not carry it. */
export function carriedLine(carried: Carried | null | undefined, picture: TextPicture, wanted: Wanted): Line | null {
  const found = carriedSide(carried, { ...picture, ...wanted }, wanted.side, wanted.index);
  return found === null ? null : { ...wanted, ...found, positions: found.visible.length };
}

/** Several heads' weights as one: their mean, or the largest. */
export function joined(weights: Float32Array, heads: number, largest: boolean): Float32Array {
  const size = weights.length / heads;
  return Float32Array.from({ length: size }, (_, at) => {
    let sum = 0;
    for (let head = 0; head < heads; head++) {
      const weight = weights[head * size + at] as number;
      sum = largest ? Math.max(sum, weight) : sum + weight / heads;
    }
    return sum;
  });
}

/** Whether the first token hides a weight: its own column is hidden where it is a key. */
export function hiddenAt(line: Line, index: number): boolean {
  return (line.side === "query" ? index : line.index) === 0;
}

/** The weight that gets the strongest colour. `shown`: the weights that are drawn, a head after the other. */
export function limitOf(
  line: Line,
  shown: Float32Array,
  how: { reach: Reach; hideFirst: boolean; heads: "each" | "mean" | "max" },
): number {
  const { reach, hideFirst, heads } = how;
  if (reach === "one" && !hideFirst) return 1;
  let most = 0;
  if (reach === "row") {
    shown.forEach((weight, at) => {
      if (weight > most && !(hideFirst && hiddenAt(line, at % line.positions))) most = weight;
    });
  } else {
    const rows = heads === "mean" ? [line.heads.length] : line.heads.map((_, head) => head);
    for (const row of rows) most = Math.max(most, line.largest[row * 2 + (hideFirst ? 1 : 0)] ?? 0);
  }
  return most > 0 ? most : 1;
}

/** The tokens that `wanted` runs through, wherever it begins, as [first, last]; upper and lower case are one. */
export function findTokens(tokens: readonly WireToken[], wanted: string): [first: number, last: number][] {
  const needle = wanted.toLowerCase();
  if (needle === "") return [];
  let text = "";
  // Pieces of one character carry its text once each; it is read once, and all of them are found.
  const ends = tokens.map((token) => {
    if (token.part === 1) text += token.text.toLowerCase();
    return text.length;
  });
  const found: [number, number][] = [];
  let first = 0;
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
    while (ends[first]! <= at) first += 1;
    let last = first;
    while (ends[last]! < at + needle.length) last += 1;
    while (last + 1 < tokens.length && ends[last + 1] === ends[last] && tokens[last + 1]!.part > 1) last += 1;
    found.push([first, last]);
  }
  return found;
}
