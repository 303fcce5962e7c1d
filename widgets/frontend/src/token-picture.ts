// What the panel reads from Python, checked: the tokens, what is more than them, and the other tokenizer's row.

import { checkView, type CommonState, decodeInts, type Said, type View, type WireArray, type WireToken } from "./shared";

export interface Counts {
  tokens: number;
  special: number;
  characters: number;
  words: number;
}

export interface TokenView extends View {
  warnings: Said[];
  remarks: Said[];
  counts: Counts;
  bytes: string[];
  begin: WireArray;
  end: WireArray;
  character: WireArray;
  word: WireArray;
  adds: string[] | null;
  names: string[] | null;
  context: number | null;
  other: { name: string; tokens: WireToken[]; counts: Counts; groups: WireArray; refused: string } | null;
}

export interface State extends CommonState {
  chosen: number | null;
}

/** One row of the table; `null` where nothing in the text stands for the token. */
export interface Row {
  token: WireToken;
  bytes: string;
  place: readonly [number, number] | null;
  character: number | null;
  word: number | null;
}

/** Tokens of both rows that cover the same characters: half-open ranges of positions. */
export interface Group {
  a: readonly [number, number];
  b: readonly [number, number];
}

export interface Other {
  name: string;
  tokens: WireToken[];
  counts: Counts;
  groups: Group[];
  refused: string;
}

export interface TokenPicture {
  tokens: WireToken[];
  rows: Row[];
  warnings: Said[];
  remarks: Said[];
  counts: Counts;
  /** The special tokens that the tokenizer adds by itself; `null` where it is not at hand. */
  adds: string[] | null;
  /** What some of its special tokens are called; `null` where it is not at hand. */
  names: string[] | null;
  context: number | null;
  other: Other | null;
}

const COLUMNS = ["begin", "end", "character", "word"] as const;

/**
 * Checks a view and makes rows of its columns.
 *
 * @throws Error naming what is malformed
 */
export function readTokenView(view: TokenView): TokenPicture {
  const { tokens } = checkView(view);
  const columns = COLUMNS.map((name) => {
    const { values: data } = decodeInts(view[name], `view.${name}`, 1);
    if (data.length !== tokens.length) throw new Error(`view.${name} has ${data.length} rows for ${tokens.length} tokens.`);
    return data;
  });
  const [begin, end, character, word] = columns as [Int32Array, Int32Array, Int32Array, Int32Array];
  if (!Array.isArray(view.bytes) || view.bytes.length !== tokens.length) {
    throw new Error("view.bytes must have one entry a token.");
  }
  const known = (value: number): number | null => (value < 0 ? null : value);
  return {
    tokens,
    rows: tokens.map((token, index) => ({
      token,
      bytes: String(view.bytes[index]),
      place: begin[index]! < 0 ? null : [begin[index]!, end[index]!],
      character: known(character[index]!),
      word: known(word[index]!),
    })),
    warnings: Array.isArray(view.warnings) ? view.warnings : [],
    remarks: Array.isArray(view.remarks) ? view.remarks : [],
    counts: view.counts,
    adds: Array.isArray(view.adds) ? view.adds : null,
    names: Array.isArray(view.names) ? view.names : null,
    context: view.context ?? null,
    other: view.other ? readOther(view.other) : null,
  };
}

function readOther(other: NonNullable<TokenView["other"]>): Other {
  const { values: data } = decodeInts(other.groups, "view.other.groups", 2);
  const groups: Group[] = [];
  for (let i = 0; i + 3 < data.length; i += 4) {
    groups.push({ a: [data[i]!, data[i + 1]!], b: [data[i + 2]!, data[i + 3]!] });
  }
  return { name: String(other.name), tokens: other.tokens, counts: other.counts, groups, refused: String(other.refused ?? "") };
}

/** Whether both sides cut out the same characters as one token. */
export function agrees({ a, b }: Group): boolean {
  return a[1] - a[0] === 1 && b[1] - b[0] === 1;
}

/** The rows that are drawn of `count`, for what is scrolled to; a few more on either side. */
export function windowOf(top: number, height: number, row: number, count: number): readonly [number, number] {
  const spare = 6;
  const first = Math.max(0, Math.min(count, Math.floor(top / row)) - spare);
  return [first, Math.min(count, Math.ceil((top + height) / row) + spare)];
}
