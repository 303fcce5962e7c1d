/** What AttentionPanel's traits hold, and the one map that is shown large. */

import type { Carried } from "./attention-carried";
import {
  type Cell,
  type CommonState,
  type View,
  type WireArray,
  type WireToken,
  type Words,
  type attentionWords,
  blockOf,
  decodeBytes,
  decodeFloats,
  decodeInts,
} from "./shared";

export interface Selection {
  layer: number | null;
  heads: number[] | null;
  query: number | null;
  key: number | null;
  stack: string | null;
  kind: string;
}

/** One stack's attention of one kind: "attn" or "cross_attn". */
export interface Choice {
  stack: string;
  kind: string;
}

/** All heads as thumbnails: `grid` is (layers, heads, rows, columns), 255 for a weight of 1. */
export interface AttentionView extends View {
  layers: number;
  heads: number;
  heads_per_layer: number[];
  /** Why a layer shows nothing; empty where it does. */
  absent: string[];
  /** How far back each layer looks; `null` where there is no limit. */
  windows: (number | null)[];
  /** Whether a layer's heads have learned sinks. */
  sinks: boolean[];
  grid: WireArray;
  grid_max_error: number;
  /** Heads that hold weights that are not numbers, as [layer, head]. */
  not_numbers: [number, number][];
  queries_sampled: number | null;
  positions: number;
  queries: number;
  keys: number;
  stack: string;
  kind: string;
  choices: Choice[];
  /** How many images the pass read, and whether the stack that is shown read each apart from the others. */
  images?: number;
  apart?: boolean;
  /** Where edits act on a layer's heads, with `{}` for the layer. */
  site: string;
  /** Where the queries are those of a decoder; its tokens are no part of the prompt. */
  decoder_tokens: WireToken[] | null;
  keys_from: "prompt" | "decoder";
}

/** The chosen heads exactly. Cell (i, j) is the largest weight of a block that begins at `row_start[i]`, `col_start[j]`. */
export interface Matrix {
  request: number;
  layer: number;
  head: number;
  heads: number[];
  combine: Combine;
  hide_sink: boolean;
  data: WireArray;
  row_start: number[];
  col_start: number[];
  block: number;
  /** (query,): the weight of the first key, and what all weights lack to one. */
  first: WireArray;
  rest: WireArray;
  /** (query, 2): the first key a row may see, and the one after the last. */
  seen: WireArray;
  /** Whether what is lacking went to a learned sink. */
  sinks: boolean;
  not_numbers: number;
}

export type Mode = "matrix" | "text" | "heads" | "lines" | "neuron" | "depth" | "difference" | "pictures";
export type Combine = "mean" | "max";
export type Scale = "linear" | "log";
export type Reach = "one" | "map" | "row";
export type Direction = "attends" | "attended";

export interface State extends CommonState {
  selection: Partial<Selection>;
  matrix: Partial<Matrix>;
  /** In a saved page: the weights of all heads. */
  carried?: Carried;
  mode: Mode;
  /** The widget that draws the mode, where the panel does not. */
  inner?: Partial<Record<Mode, string>>;
  combine: Combine;
  scale: Scale;
  reach: Reach;
  direction: Direction;
  hide_sink: boolean;
  /** Which image is shown, where the pass read several. */
  image: number;
  order: { thumbnails?: boolean };
  /** The heads in their order; empty where they stand by layer, or until they are known. */
  ranked: { measure?: string; heads?: [number, number][] };
  /** Whether what was written on from the prompt is shown with it, and as of which step; `null` for the newest. */
  with_written: boolean;
  step: number | null;
}

/** A decoded {@link AttentionView}. */
export interface Picture {
  request: number;
  /** The prompt's; and those that attend and are attended to. */
  tokens: WireToken[];
  queryTokens: WireToken[];
  keyTokens: WireToken[];
  queries: number;
  keys: number;
  layers: number;
  heads: number;
  headsPerLayer: number[];
  absent: string[];
  windows: (number | null)[];
  sinks: boolean[];
  choices: Choice[];
  images: number;
  apart: boolean;
  stack: string;
  kind: string;
  site: string;
  grid: Uint8Array;
  rows: number;
  cols: number;
  sampled: number | null;
  /** The heads, each as `layer.head`, that hold weights that are not numbers. */
  notNumbers: ReadonlySet<string>;
}

/** The positions that attend and are attended to, and their tokens. */
export type Sides = Pick<Picture, "queries" | "keys" | "queryTokens" | "keyTokens">;

/** The map that is shown large: all of the chosen heads' weights, or a part. */
export interface HeadMap {
  layer: number;
  heads: number[];
  combine: Combine;
  rows: number;
  cols: number;
  /** Weights from 0 to 1, row by row; what is not a number stays NaN. What else cells hold follows, plane after plane. */
  weights: Float32Array;
  rowStart: number[];
  colStart: number[];
  /** The positions after the last row and column. */
  rowEnd: number;
  colEnd: number;
  /** Positions a cell covers each way. */
  block: number;
  /** Whether these are the model's own weights; otherwise they are from the thumbnail, or from larger blocks. */
  exact: boolean;
  /** Of each row: the first key that it may see, and the one after the last. */
  visible: Int32Array;
}

/** What is said of all rows of the chosen heads, by query position. */
export interface Rows {
  first: Float32Array;
  rest: Float32Array;
  seen: Int32Array;
  sinks: boolean;
  notNumbers: number;
}

function count(value: unknown, name: string): number {
  if (!Number.isInteger(value) || (value as number) < 0)
    throw new Error(`${name} is ${String(value)}, no count.`);
  return value as number;
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readView(view: AttentionView): Picture {
  const layers = count(view.layers, "view.layers");
  const heads = count(view.heads, "view.heads");
  const grid = decodeBytes(view.grid, "view.grid", 4);
  const [gridLayers, gridHeads, rows = 0, cols = 0] = grid.shape;
  if (gridLayers !== layers || gridHeads !== heads) {
    throw new Error(`view.grid is for ${gridLayers} x ${gridHeads} heads, not ${layers} x ${heads}.`);
  }
  const positions = count(view.positions, "view.positions");
  if (view.tokens.length !== positions) {
    throw new Error(`view.tokens holds ${view.tokens.length} of ${positions}.`);
  }
  const written = view.decoder_tokens ?? null;
  const perLayer = Array.isArray(view.heads_per_layer) ? view.heads_per_layer : [];
  const every = <V>(values: V[] | undefined, otherwise: V): V[] =>
    Array.from({ length: layers }, (_, layer) => values?.[layer] ?? otherwise);
  return {
    request: view.request,
    tokens: view.tokens,
    queryTokens: written ?? view.tokens,
    keyTokens: written !== null && view.keys_from === "decoder" ? written : view.tokens,
    queries: count(view.queries, "view.queries"),
    keys: count(view.keys, "view.keys"),
    layers,
    heads,
    headsPerLayer: every(perLayer, heads),
    absent: every(view.absent, ""),
    windows: every(view.windows, null),
    sinks: every(view.sinks, false),
    choices: Array.isArray(view.choices) ? view.choices : [],
    images: view.images ?? 0,
    apart: view.apart === true,
    stack: view.stack ?? "",
    kind: view.kind ?? "attn",
    site: view.site ?? "",
    grid: grid.values,
    rows,
    cols,
    sampled: view.queries_sampled ?? null,
    notNumbers: new Set((view.not_numbers ?? []).map((head) => head.join("."))),
  };
}

/** The layer and heads that the selection shows large, kept inside the model. */
export function chosenHeads(selection: Partial<Selection>, picture: Picture): { layer: number; heads: number[] } {
  const there = picture.headsPerLayer.map((heads) => heads > 0);
  const wanted = Math.max(0, Math.min(picture.layers - 1, selection.layer ?? 0));
  const layer = there[wanted] ? wanted : Math.max(0, there.indexOf(true));
  const most = (picture.headsPerLayer[layer] ?? picture.heads) - 1;
  const within = (selection.heads ?? []).map((head) => Math.max(0, Math.min(most, head)));
  const heads = [...new Set(within)];
  return { layer, heads: heads.length > 0 ? heads : [0] };
}

/** The order of the thumbnails, of heads that the picture has; `null` where they stand by layer. */
export function orderOf(ranked: State["ranked"] | null | undefined, picture: Picture): [number, number][] | null {
  return ranked?.heads?.filter(([layer, head]) => head < (picture.headsPerLayer[layer] ?? 0)) ?? null;
}

/** One head's thumbnail. */
export function thumbnail(picture: Picture, layer: number, head: number): Uint8Array {
  const size = picture.rows * picture.cols;
  const start = (layer * picture.heads + head) * size;
  return picture.grid.subarray(start, start + size);
}

/** Where `cells` equal blocks of positions begin: the last may be shorter, as in Python's pooling. */
function evenStarts(positions: number, cells: number): number[] {
  const block = Math.max(1, Math.ceil(positions / Math.max(1, cells)));
  const fits = Math.ceil(positions / block) === cells;
  return Array.from({ length: cells }, (_, cell) =>
    fits ? cell * block : Math.floor((cell * positions) / cells),
  );
}

/** Whether the matrix that arrived is of this picture and these heads, hidden and joined as is asked. */
export function isOf(
  matrix: Partial<Matrix> | null | undefined,
  picture: Picture,
  wanted: { layer: number; heads: number[]; combine: Combine; hideSink: boolean },
): matrix is Matrix {
  return (
    matrix?.request === picture.request &&
    matrix.layer === wanted.layer &&
    String(matrix.heads) === String(wanted.heads) &&
    (wanted.heads.length === 1 || matrix.combine === wanted.combine) &&
    matrix.hide_sink === wanted.hideSink
  );
}

/** The first head's thumbnail as a map, until the weights arrive. */
export function thumbnailMap(picture: Picture, layer: number, heads: number[], combine: Combine): HeadMap {
  const { rows, cols, queries, keys } = picture;
  const weights = Float32Array.from(thumbnail(picture, layer, heads[0] ?? 0), (index) => index / 255);
  const rowStart = evenStarts(queries, rows);
  const causal = rows === cols && weights.every((weight, at) => at % cols <= Math.floor(at / cols) || weight === 0);
  const visible = new Int32Array(rows * 2);
  rowStart.forEach((_, row) => (visible[row * 2 + 1] = causal ? (rowStart[row + 1] ?? queries) : keys));
  const places = { rowStart, colStart: evenStarts(keys, cols), rowEnd: queries, colEnd: keys };
  const block = Math.max(1, Math.ceil(keys / Math.max(1, cols)));
  return { layer, heads, combine, rows, cols, weights, ...places, block, exact: false, visible };
}

/** Decodes what was said of all rows. */
export function readRows(matrix: Matrix): Rows {
  return {
    first: decodeFloats(matrix.first, "matrix.first", 1).values,
    rest: decodeFloats(matrix.rest, "matrix.rest", 1).values,
    seen: decodeInts(matrix.seen, "matrix.seen", 2).values,
    sinks: matrix.sinks === true,
    notNumbers: matrix.not_numbers,
  };
}

/** The keys that any query of each block of rows may see; `seen` as in {@link Rows}. */
export function visibleKeys(seen: Int32Array, rowStart: readonly number[], rowEnd: number): Int32Array {
  const visible = new Int32Array(rowStart.length * 2);
  rowStart.forEach((start, row) => {
    let first = Infinity;
    let last = 0;
    for (let query = start; query < (rowStart[row + 1] ?? rowEnd); query++) {
      first = Math.min(first, seen[query * 2] ?? 0);
      last = Math.max(last, seen[query * 2 + 1] ?? 0);
    }
    visible[row * 2] = Math.min(first, last);
    visible[row * 2 + 1] = last;
  });
  return visible;
}

/** The whole of the chosen heads. Throws where its parts do not fit together. */
export function exactMap(matrix: Matrix, rows: Rows, picture: Picture): HeadMap {
  const { values, shape } = decodeFloats(matrix.data, "matrix.data", 2);
  const [height = 0, width = 0] = shape;
  if (matrix.row_start?.length !== height || matrix.col_start?.length !== width) {
    throw new Error(`matrix.row_start or col_start does not fit ${height} x ${width} cells.`);
  }
  return {
    layer: matrix.layer,
    heads: matrix.heads,
    combine: matrix.combine,
    rows: height,
    cols: width,
    weights: values,
    rowStart: matrix.row_start,
    colStart: matrix.col_start,
    rowEnd: picture.queries,
    colEnd: picture.keys,
    block: Math.max(1, matrix.block),
    exact: true,
    visible: visibleKeys(rows.seen, matrix.row_start, picture.queries),
  };
}

/** The cell that a selection's query and key lie in; a side that is not chosen, or not in the map, is left out. */
export function cellOf(map: HeadMap, { query, key }: Partial<Selection>): Partial<Cell> {
  const within = (position: unknown, starts: readonly number[], end: number): position is number =>
    typeof position === "number" && position >= (starts[0] ?? 0) && position < end;
  return {
    ...(within(query, map.rowStart, map.rowEnd) ? { row: blockOf(map.rowStart, query) } : {}),
    ...(within(key, map.colStart, map.colEnd) ? { col: blockOf(map.colStart, key) } : {}),
  };
}

export interface Span {
  first: number;
  last: number;
}

function span(starts: readonly number[], cell: number, end: number): Span {
  const first = starts[cell] ?? 0;
  return { first, last: Math.max(first, (starts[cell + 1] ?? end) - 1) };
}

/** The positions a row of the map covers. */
export function rowSpan(map: HeadMap, row: number): Span {
  return span(map.rowStart, row, map.rowEnd);
}

/** The positions a column of the map covers. */
export function colSpan(map: HeadMap, col: number): Span {
  return span(map.colStart, col, map.colEnd);
}

/** Why a cell holds no weights: its keys come later, or lie further back than the row looks; `null` where it does. */
export function hiddenBy(map: HeadMap, row: number, col: number): "later" | "window" | null {
  const { first, last } = colSpan(map, col);
  if (first >= (map.visible[row * 2 + 1] as number)) return "later";
  return last < (map.visible[row * 2] as number) ? "window" : null;
}

/** The part of all attention that the first token gets, 0 to 1. */
export function firstShare(rows: Rows): number {
  let first = 0;
  let all = 0;
  rows.first.forEach((weight, query) => {
    const whole = 1 - (rows.rest[query] ?? 0);
    if (!Number.isFinite(whole)) return;
    first += weight;
    all += whole;
  });
  return all > 0 ? first / all : 0;
}

/** The share of a learned sink in the mean over all rows. */
export function sinkShare(rows: Rows): number | null {
  if (!rows.sinks || rows.rest.length === 0) return null;
  return rows.rest.reduce((sum, rest) => sum + (Number.isFinite(rest) ? rest : 0), 0) / rows.rest.length;
}

/** How many rows do not sum to one although no sink takes the rest: by rounding of the model's dtype they may be near. */
export function unevenRows(rows: Rows): number {
  return rows.sinks ? 0 : rows.rest.reduce((sum, rest) => sum + (Math.abs(rest) > 0.02 ? 1 : 0), 0);
}

/** The chosen heads in a few words: `layer 3 · mean of heads 1, 4`. */
export function headsName(
  words: Words<typeof attentionWords>,
  { layer, heads, combine }: { layer: number; heads: readonly number[]; combine?: Combine },
): string {
  if (heads.length === 1) return words.head(layer, heads[0] as number);
  return (combine === "max" ? words.mostOf : words.meanOf)(layer, heads.join(", "));
}
