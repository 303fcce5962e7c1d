// The vocabulary in falling order of score, sorted once per logits row.
//
// Temperature and every filter keep this order; only the repetition penalty moves a few tokens. So the full sort
// (a radix sort, linear in the vocabulary) runs once per row, and a new penalty costs one linear merge.

/** Tokens in falling order of score; equal scores in rising order of id. */
export interface Order {
  readonly ids: Uint32Array;
  readonly scores: Float32Array;
}

const DIGIT_BITS = 11; // three digits cover 32 bits; 2048 counters stay in the first-level cache
const DIGITS = 1 << DIGIT_BITS;

/** Sorts a row of float32 scores (no NaN) by falling score, then rising id. */
export function sortFalling(scores: Float32Array): Order {
  const size = scores.length;
  const floats = new Float32Array(size);
  // Adding zero turns -0 into +0: they are equal as scores and must tie.
  for (let i = 0; i < size; i++) floats[i] = scores[i]! + 0;
  const bits = new Uint32Array(floats.buffer);
  let keys: Uint32Array = new Uint32Array(size);
  let ids: Uint32Array = new Uint32Array(size);
  for (let i = 0; i < size; i++) {
    const b = bits[i]!;
    // Larger float -> smaller key, so that a rising sort of keys gives falling scores.
    keys[i] = b >>> 31 ? b : ~b & 0x7fffffff;
    ids[i] = i;
  }
  let keysNext: Uint32Array = new Uint32Array(size);
  let idsNext: Uint32Array = new Uint32Array(size);
  const starts = new Uint32Array(DIGITS);
  for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
    starts.fill(0);
    for (let i = 0; i < size; i++) starts[(keys[i]! >>> shift) & (DIGITS - 1)]!++;
    for (let d = 0, sum = 0; d < DIGITS; d++) {
      const count = starts[d]!;
      starts[d] = sum;
      sum += count;
    }
    for (let i = 0; i < size; i++) {
      const key = keys[i]!;
      const place = starts[(key >>> shift) & (DIGITS - 1)]!++;
      keysNext[place] = key;
      idsNext[place] = ids[i]!;
    }
    [keys, keysNext] = [keysNext, keys];
    [ids, idsNext] = [idsNext, ids];
  }
  const sorted = new Float32Array(size);
  for (let i = 0; i < size; i++) sorted[i] = floats[ids[i]!]!;
  return { ids, scores: sorted };
}

/**
 * The order after a repetition penalty on some tokens.
 *
 * As transformers' RepetitionPenaltyLogitsProcessor in float32: a negative score is multiplied, another divided.
 *
 * @param base the order without a penalty
 * @param repeated ids the penalty falls on, without doubles, all inside the vocabulary
 * @param penalty above 0; below 1 it rewards
 */
export function penalise(base: Order, repeated: Uint32Array, penalty: number): Order {
  if (penalty === 1 || repeated.length === 0) return base;
  const size = base.ids.length;
  const factor = Math.fround(penalty);
  const isRepeated = new Uint8Array(size);
  for (const id of repeated) isRepeated[id] = 1;
  const moved: { id: number; score: number }[] = [];
  for (let rank = 0; rank < size; rank++) {
    const id = base.ids[rank]!;
    if (!isRepeated[id]) continue;
    const score = base.scores[rank]!;
    moved.push({ id, score: Math.fround(score < 0 ? score * factor : score / factor) });
  }
  moved.sort((a, b) => b.score - a.score || a.id - b.id);

  const ids = new Uint32Array(size);
  const scores = new Float32Array(size);
  let place = 0;
  let next = 0;
  for (let rank = 0; rank < size; rank++) {
    const id = base.ids[rank]!;
    if (isRepeated[id]) continue;
    const score = base.scores[rank]!;
    while (next < moved.length && comesFirst(moved[next]!, id, score)) {
      ids[place] = moved[next]!.id;
      scores[place++] = moved[next++]!.score;
    }
    ids[place] = id;
    scores[place++] = score;
  }
  for (; next < moved.length; next++, place++) {
    ids[place] = moved[next]!.id;
    scores[place] = moved[next]!.score;
  }
  return { ids, scores };
}

const places = new WeakMap<Order, Uint32Array>();

/** The rank of each token, by id; worked out when it is first asked for. */
export function ranksOf(order: Order): Uint32Array {
  let ranks = places.get(order);
  if (ranks === undefined) {
    ranks = new Uint32Array(order.ids.length);
    for (let rank = 0; rank < ranks.length; rank++) ranks[order.ids[rank]!] = rank;
    places.set(order, ranks);
  }
  return ranks;
}

function comesFirst(a: { id: number; score: number }, id: number, score: number): boolean {
  return a.score > score || (a.score === score && a.id < id);
}
