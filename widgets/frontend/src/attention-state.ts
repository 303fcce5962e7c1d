/** What AttentionPanel's traits hold, and the one map that is shown large. */

import type { Carried } from "./attention-carried";
import {
  type Cell,
  type CommonState,
  type View,
  type WireArray,
  type WireToken,
  blockOf,
  decodeBytes,
  decodeFloats,
  weightIndices,
} from "./shared";

export interface Selection {
  layer: number | null;
  heads: number[] | null;
  query: number | null;
  key: number | null;
  stack: string | null;
  kind: string;
}

/** All heads as thumbnails: `grid` is (layers, heads, rows, columns), 255 for a weight of 1. */
export interface AttentionView extends View {
  layers: number;
  heads: number;
  heads_per_layer: number[];
  grid: WireArray;
  grid_max_error: number;
  queries_sampled: number | null;
  positions: number;
}

/** One head exactly. Cell (i, j) is the largest weight of a block that begins at `row_start[i]`, `col_start[j]`. */
export interface Matrix {
  request: number;
  layer: number;
  head: number;
  data: WireArray;
  row_start: number[];
  col_start: number[];
  block: number;
}

export interface State extends CommonState {
  selection: Partial<Selection>;
  matrix: Partial<Matrix>;
  /** In a saved page: the weights of all heads. */
  carried?: Carried;
}

/** A decoded {@link AttentionView}. */
export interface Picture {
  request: number;
  tokens: WireToken[];
  positions: number;
  layers: number;
  heads: number;
  headsPerLayer: number[];
  grid: Uint8Array;
  rows: number;
  cols: number;
  sampled: number | null;
}

/** The map that is shown large. */
export interface HeadMap {
  layer: number;
  head: number;
  rows: number;
  cols: number;
  /** Weights from 0 to 1, row by row; what is not a number stays NaN. */
  weights: Float32Array;
  /** Their entries in the colour table. */
  indices: Uint8Array;
  rowStart: number[];
  colStart: number[];
  /** Positions a cell covers each way. */
  block: number;
  /** Whether these are the model's own weights; otherwise the thumbnail's, in 255 steps. */
  exact: boolean;
  /** Whether no position attends to a later one. */
  causal: boolean;
  positions: number;
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
    throw new Error(
      `view.grid is for ${gridLayers} x ${gridHeads} heads; ${layers} x ${heads} were announced.`,
    );
  }
  const positions = count(view.positions, "view.positions");
  if (view.tokens.length !== positions) {
    throw new Error(`view.tokens holds ${view.tokens.length} tokens for ${positions} positions.`);
  }
  const headsPerLayer = Array.isArray(view.heads_per_layer) ? view.heads_per_layer : [];
  return {
    request: view.request,
    tokens: view.tokens,
    positions,
    layers,
    heads,
    headsPerLayer: Array.from({ length: layers }, (_, layer) => headsPerLayer[layer] ?? heads),
    grid: grid.values,
    rows,
    cols,
    sampled: view.queries_sampled ?? null,
  };
}

/** The layer and head that the selection shows large, kept inside the model. */
export function chosenHead(selection: Partial<Selection>, picture: Picture): { layer: number; head: number } {
  const within = (value: number | null | undefined, size: number): number =>
    Math.max(0, Math.min(size - 1, value ?? 0));
  const layer = within(selection.layer, picture.layers);
  return { layer, head: within(selection.heads?.[0], picture.headsPerLayer[layer] ?? picture.heads) };
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

function isCausal(weights: Float32Array, rows: number, cols: number): boolean {
  for (let row = 0; row < rows; row++) {
    for (let col = row + 1; col < cols; col++) if (weights[row * cols + col] !== 0) return false;
  }
  return rows === cols;
}

/** The exact map of a head where it has arrived for this picture, else its thumbnail. */
export function headMap(
  picture: Picture,
  layer: number,
  head: number,
  matrix: Partial<Matrix> | null | undefined,
): HeadMap {
  const arrived = matrix?.request === picture.request && matrix.layer === layer && matrix.head === head;
  if (arrived) return exactMap(matrix as Matrix, picture.positions);
  const indices = thumbnail(picture, layer, head);
  const { rows, cols, positions } = picture;
  const weights = Float32Array.from(indices, (index) => index / 255);
  return {
    layer,
    head,
    rows,
    cols,
    weights,
    indices,
    rowStart: evenStarts(positions, rows),
    colStart: evenStarts(positions, cols),
    block: Math.max(1, Math.ceil(positions / Math.max(1, cols))),
    exact: false,
    causal: isCausal(weights, rows, cols),
    positions,
  };
}

function exactMap(matrix: Matrix, positions: number): HeadMap {
  const { values, shape } = decodeFloats(matrix.data, "matrix.data", 2);
  const [rows = 0, cols = 0] = shape;
  if (matrix.row_start?.length !== rows || matrix.col_start?.length !== cols) {
    throw new Error(`matrix.row_start and matrix.col_start do not fit the map of ${rows} x ${cols} cells.`);
  }
  return {
    layer: matrix.layer,
    head: matrix.head,
    rows,
    cols,
    weights: values,
    indices: weightIndices(values),
    rowStart: matrix.row_start,
    colStart: matrix.col_start,
    block: Math.max(1, matrix.block),
    exact: true,
    causal: isCausal(values, rows, cols),
    positions,
  };
}

/** The cell that a selection's query and key lie in; a side that is not chosen, or not in the text, is left out. */
export function cellOf(map: HeadMap, { query, key }: Partial<Selection>): Partial<Cell> {
  const within = (position: unknown): position is number =>
    typeof position === "number" && position >= 0 && position < map.positions;
  return {
    ...(within(query) ? { row: blockOf(map.rowStart, query) } : {}),
    ...(within(key) ? { col: blockOf(map.colStart, key) } : {}),
  };
}

/** The positions a row or column of the map covers: first and last. */
export function span(
  starts: readonly number[],
  cell: number,
  positions: number,
): { first: number; last: number } {
  const first = starts[cell] ?? 0;
  return { first, last: Math.max(first, (starts[cell + 1] ?? positions) - 1) };
}

/** A weight as it is written everywhere: `0.810`, `<0.001`, `≈ 0.81` from a thumbnail. */
export function weightText(weight: number, exact: boolean): string {
  if (Number.isNaN(weight)) return "not a number";
  if (!exact) return weight > 0 && weight < 0.005 ? "<0.01" : `≈ ${weight.toFixed(2)}`;
  return weight > 0 && weight < 0.0005 ? "<0.001" : weight.toFixed(3);
}

/** The part of all attention that the first token gets, 0 to 1; `null` where a cell covers more than one token. */
export function firstTokenShare(map: HeadMap): number | null {
  if (map.block !== 1 || map.cols < 2) return null;
  let first = 0;
  let all = 0;
  map.weights.forEach((weight, index) => {
    if (Number.isNaN(weight)) return;
    all += weight;
    if (index % map.cols === 0) first += weight;
  });
  return all > 0 ? first / all : null;
}
