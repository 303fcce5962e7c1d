// Which tokens and which lines the bar chart shows. The number of rows never changes with the settings, so nothing
// jumps under the pointer while a slider moves.

import type { Distribution, Filter } from "./sampling-math";

export type Row =
  | { kind: "token"; rank: number; id: number; probability: number; kept: boolean }
  | { kind: "more"; count: number; mass: number }
  | { kind: "cut"; filter: Filter; count: number; mass: number }
  | { kind: "impossible"; count: number };

export const ROWS = 14;
const PINNED_ROWS = 3;
const NAMED = 64; // as many of the likeliest have names
const CUT_ROWS = 6; // for the first tokens of all cuts together, at most three each
const KEPT_ROWS = 4;

/**
 * The rows from the likeliest down: what can be drawn, then each cut with its line and its first tokens.
 *
 * @param named whether a token has a name to be shown with; a cut far down the vocabulary shows its line alone
 */
export function layRows(distribution: Distribution, named: (id: number) => boolean, rows = ROWS): Row[] {
  const { cuts, kept } = distribution;
  const lines = cuts.length + (distribution.impossible > 0 ? 1 : 0);
  const room = rows - lines;
  const each = Math.min(3, Math.floor(CUT_ROWS / Math.max(1, cuts.length)));
  const available = cuts.map((cut) => {
    let count = 0;
    while (count < rows && cut.from + count < cut.to && named(distribution.id(cut.from + count))) count++;
    return count;
  });
  const shownCut = available.map((count) => Math.min(each, count));
  const reserved = shownCut.reduce((sum, count) => sum + count, 0);
  let shownKept = Math.min(kept, Math.max(KEPT_ROWS, room - reserved));
  if (shownKept < kept) shownKept--; // its row says how many more there are
  let free = room - reserved - shownKept - (shownKept < kept ? 1 : 0);
  // What is left over goes to the cut tokens next below.
  cuts.forEach((_, i) => {
    const extra = Math.max(0, Math.min(free, available[i]! - shownCut[i]!));
    shownCut[i]! += extra;
    free -= extra;
  });
  // Few rows and many filters: the last filters give theirs up first.
  for (let i = cuts.length - 1; i >= 0 && free < 0; i--) {
    const less = Math.min(-free, shownCut[i]!);
    shownCut[i]! -= less;
    free += less;
  }

  const out: Row[] = [];
  const push = (rank: number, isKept: boolean): void => {
    out.push({ kind: "token", rank, id: distribution.id(rank), probability: distribution.probability(rank), kept: isKept });
  };
  for (let rank = 0; rank < shownKept; rank++) push(rank, true);
  if (shownKept < kept) {
    let shownMass = 0;
    for (let rank = 0; rank < shownKept; rank++) shownMass += distribution.probability(rank);
    out.push({ kind: "more", count: kept - shownKept, mass: Math.max(0, 1 - shownMass) });
  }
  cuts.forEach((cut, i) => {
    out.push({ kind: "cut", filter: cut.filter, count: cut.to - cut.from, mass: cut.mass });
    for (let rank = cut.from; rank < cut.from + shownCut[i]!; rank++) push(rank, false);
  });
  if (distribution.impossible > 0) out.push({ kind: "impossible", count: distribution.impossible });
  return out;
}

export type TokenRow = Extract<Row, { kind: "token" }>;

/** The likeliest of a pinned distribution that `rows` do not show, as they are now; as many under any settings. */
export function layPinned(rows: readonly Row[], now: Distribution, pinned: Distribution): TokenRow[] {
  const shown = new Set(rows.flatMap((row) => (row.kind === "token" ? [row.id] : [])));
  const out: TokenRow[] = [];
  for (let was = 0; was < Math.min(NAMED, pinned.size) && out.length < PINNED_ROWS; was++) {
    const id = pinned.id(was);
    if (shown.has(id)) continue;
    const rank = now.rank(id);
    out.push({ kind: "token", rank, id, probability: now.probability(rank), kept: rank < now.kept });
  }
  return out;
}
