// What the next token could be under sampling settings: transformers' own filters in generate()'s own order
// (repetition penalty, temperature, top-k, top-p, min-p), over the full logits row, in float32 where it rounds.
//
// One set of fixtures made by transformers' classes is tested here and in the kernel. A token whose cumulative
// mass lies within float32 rounding of the top-p edge may fall on either side, as it may between two torch builds.

import { penalise, ranksOf, sortFalling, type Order } from "./sampling-order";

/** The `settings` trait, same names as `explorer.Sampling`. */
export interface Settings {
  /** 0 = greedy: the likeliest token, the lowest id on ties. */
  temperature: number;
  /** 0 = off; more than the vocabulary cuts nothing. */
  top_k: number;
  /** 1 = off; 0 = only the likeliest token. */
  top_p: number;
  /** 0 = off. */
  min_p: number;
  /** 1 = off; above 1 makes the prompt's tokens less likely. */
  repetition_penalty: number;
  /** null = another draw each time. */
  seed: number | null;
}

export const NEUTRAL: Settings = {
  temperature: 1,
  top_k: 0,
  top_p: 1,
  min_p: 0,
  repetition_penalty: 1,
  seed: null,
};

export type Filter = "temperature" | "top_k" | "top_p" | "min_p";

/** What one filter removed. */
export interface Cut {
  filter: Filter;
  /** Ranks [from, to) of the tokens removed. */
  from: number;
  to: number;
  /** Their share of the distribution before this filter. */
  mass: number;
}

// Below this temperature, as in explorer.sampling, the limit is used: the likeliest stay, equally likely.
const COLDEST = 1e-20;
// Below e^-87 float32 has only its slow subnormal numbers; 1e-38 of the mass is nothing.
const UNDERFLOW = -87;

/** One logits row, sorted once, from which any settings give a distribution in time linear in the vocabulary. */
export class NextToken {
  readonly size: number;
  readonly #base: Order;
  readonly #repeated: Uint32Array;
  #penalty = 1;
  #penalised: Order;

  /**
   * @param logits one per token of the vocabulary; -inf means the model never says it
   * @param promptIds ids in the prompt; those beyond the vocabulary cannot be said and are left out
   * @throws RangeError when the row is empty, has NaN or +inf, or allows no token
   */
  constructor(logits: Float32Array, promptIds: ArrayLike<number>) {
    this.size = logits.length;
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id]!;
      if (!(logit < Infinity)) throw new RangeError(`The logit of token ${id} is ${logit}: the model's numbers broke.`);
    }
    this.#base = sortFalling(logits);
    if (!(this.#base.scores[0]! > -Infinity)) throw new RangeError("The logits row allows no token at all.");
    this.#repeated = Uint32Array.from(new Set(Array.from(promptIds).filter((id) => id >= 0 && id < this.size)));
    this.#penalised = this.#base;
  }

  /**
   * The distribution that generation would draw from.
   *
   * @throws RangeError when the penalty drives the scores beyond float32
   */
  under(settings: Settings): Distribution {
    const penalty = settings.repetition_penalty;
    if (penalty !== this.#penalty) {
      const penalised = penalise(this.#base, this.#repeated, penalty);
      if (!Number.isFinite(penalised.scores[0]!)) {
        throw new RangeError(`A repetition penalty of ${penalty} drives the scores beyond float32; choose a value nearer to 1.`);
      }
      this.#penalised = penalised;
      this.#penalty = penalty;
    }
    return new Distribution(this.#penalised, settings);
  }
}

/** Tokens by rank (falling probability); the first `kept` can be drawn, the others are cut or impossible. */
export class Distribution {
  readonly size: number;
  readonly kept: number;
  /** Tokens that the model itself gives -inf: never possible under any settings. */
  readonly impossible: number;
  /** In falling rank, so the last filter applied comes first; filters that removed nothing are absent. */
  readonly cuts: readonly Cut[];
  /** Of what can be drawn, in bits. */
  readonly entropy: number;
  readonly #order: Order;
  readonly #ids: Uint32Array;
  /** exp(score - best) by rank, and for each stretch of ranks what it has to be divided by. */
  readonly #weights: Float32Array;
  readonly #keptTotal: number;
  readonly #totals: readonly number[];

  constructor(order: Order, settings: Settings) {
    const { ids, scores } = order;
    this.#order = order;
    this.#ids = ids;
    this.size = ids.length;
    const possible = countPossible(scores);
    this.impossible = this.size - possible;
    const { temperature } = settings;
    const frozen = temperature < COLDEST;
    const { weights, scaled } = weigh(scores, frozen ? 1 : temperature, possible);
    this.#weights = weights;

    const cuts: Cut[] = [];
    const totals: number[] = [];
    let left = possible;
    const keep = (filter: Filter, to: number, total: number): void => {
      if (to < left) {
        cuts.unshift({ filter, from: to, to: left, mass: sum(weights, to, left) / total });
        totals.unshift(total);
        left = to;
      }
    };
    let total = sum(weights, 0, left);
    if (frozen) {
      keep("temperature", temperature === 0 ? 1 : afterTopK(scores, 1, left, 1), total);
      total = sum(weights, 0, left);
    }
    if (temperature > 0) {
      if (settings.top_k > 0) keep("top_k", afterTopK(scores, frozen ? 1 : temperature, left, settings.top_k), total);
      total = sum(weights, 0, left);
      if (settings.top_p < 1) keep("top_p", afterTopP(weights, left, total, settings.top_p), total);
      total = sum(weights, 0, left);
      if (settings.min_p > 0) keep("min_p", afterMinP(weights, left, total, settings.min_p), total);
    }
    this.kept = left;
    this.cuts = cuts;
    this.#totals = totals;
    this.#keptTotal = sum(weights, 0, left);
    this.entropy = entropy(weights, scaled, left, this.#keptTotal);
  }

  /** The token at a rank. */
  id(rank: number): number {
    return this.#ids[rank]!;
  }

  /** The rank of a token. */
  rank(id: number): number {
    return ranksOf(this.#order)[id] ?? this.size;
  }

  /** What a token is drawn with; 0 where it was cut. */
  chance(id: number): number {
    const rank = this.rank(id);
    return rank < this.kept ? this.probability(rank) : 0;
  }

  /** Kept: what it is drawn with. Cut: what it had before the filter that removed it. */
  probability(rank: number): number {
    if (rank < this.kept) return this.#weights[rank]! / this.#keptTotal;
    const cut = this.cuts.findIndex((c) => rank >= c.from && rank < c.to);
    return cut < 0 ? 0 : this.#weights[rank]! / this.#totals[cut]!;
  }

  /** By token id, over the full vocabulary; what was cut has 0. */
  probabilities(): Float32Array {
    const all = new Float32Array(this.size);
    for (let rank = 0; rank < this.kept; rank++) all[this.id(rank)] = this.#weights[rank]! / this.#keptTotal;
    return all;
  }

  /** By token id, 1 where a token can be drawn. */
  keptMask(): Uint8Array {
    const mask = new Uint8Array(this.size);
    for (let rank = 0; rank < this.kept; rank++) mask[this.id(rank)] = 1;
    return mask;
  }
}

function divide(score: number, temperature: number): number {
  return Math.fround(score / Math.fround(temperature));
}

function countPossible(falling: Float32Array): number {
  let low = 0;
  let high = falling.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (falling[middle]! > -Infinity) low = middle + 1;
    else high = middle;
  }
  return low;
}

function weigh(
  scores: Float32Array,
  temperature: number,
  possible: number,
): { weights: Float32Array; scaled: Float32Array } {
  const weights = new Float32Array(scores.length);
  const scaled = new Float32Array(scores.length);
  const divisor = Math.fround(temperature);
  const best = divide(scores[0]!, temperature);
  for (let rank = 0; rank < possible; rank++) {
    const score = Math.fround(scores[rank]! / divisor);
    scaled[rank] = score - best;
    if (scaled[rank]! > UNDERFLOW) weights[rank] = Math.exp(scaled[rank]!);
  }
  return { weights, scaled };
}

/** Added from the small end, so that a long tail is not lost beside the first few. */
function sum(weights: Float32Array, from: number, to: number): number {
  let total = 0;
  for (let rank = to - 1; rank >= from; rank--) total += weights[rank]!;
  return total;
}

/** TopKLogitsWarper removes what is below the k-th score, so all that tie with it stay. */
function afterTopK(scores: Float32Array, temperature: number, left: number, k: number): number {
  if (k >= left) return left;
  const last = divide(scores[k - 1]!, temperature);
  let to = k;
  while (to < left && divide(scores[to]!, temperature) === last) to++;
  return to;
}

/** TopPLogitsWarper adds up from the least likely and removes while the sum is at most 1 - p; one always stays. */
function afterTopP(weights: Float32Array, left: number, total: number, p: number): number {
  const edge = Math.fround(1 - p);
  const divisor = Math.fround(total);
  let to = left;
  let mass = 0;
  while (to > 1) {
    mass += Math.fround(weights[to - 1]! / divisor);
    if (Math.fround(mass) > edge) break;
    to--;
  }
  return to;
}

/** MinPLogitsWarper removes what is less likely than min_p times the likeliest. */
function afterMinP(weights: Float32Array, left: number, total: number, minP: number): number {
  const divisor = Math.fround(total);
  const edge = Math.fround(Math.fround(minP) * Math.fround(weights[0]! / divisor));
  let to = left;
  while (to > 1 && Math.fround(weights[to - 1]! / divisor) < edge) to--;
  return to;
}

/** log2 of the total minus the mean log2 weight: needs no logarithm per token. */
function entropy(weights: Float32Array, scaled: Float32Array, kept: number, total: number): number {
  let mean = 0;
  for (let rank = kept - 1; rank >= 0; rank--) {
    const weight = weights[rank]!;
    if (weight > 0) mean += weight * scaled[rank]!;
  }
  return Math.max(0, Math.log2(total) - mean / (total * Math.LN2));
}
