// Scores of tokens as they are drawn: one chip per visible character or word, limits symmetric around zero, and
// the two proofs a map carries, in words.

import type { WireToken } from "./shared/wire";

/** What one method found (see the `view` trait). */
export interface Result {
  /** One per token id of the prompt. */
  scores: number[];
  /** Sum of the scores. */
  total: number;
  /** What the scores are to explain: logit(target), minus logit(against) where there is one. */
  difference: number;
  /** Integrated gradients only: total minus (f(input) - f(baseline)). */
  delta: number | null;
  steps: number | null;
  baseline: string;
}

/** The tokens of one visible character, or one token. */
export interface Chip {
  /** Position of its first token in the prompt. */
  first: number;
  tokens: WireToken[];
  scores: number[];
  /** Sum over the pieces: contributions add up. */
  score: number;
}

/**
 * Chips for tokens and their scores; pieces of one character (`parts` above 1, same `group`) share one.
 *
 * @throws Error where the scores do not match the tokens or are no numbers
 */
export function toChips(tokens: readonly WireToken[], scores: readonly number[]): Chip[] {
  if (scores.length !== tokens.length) {
    throw new Error(`There are ${scores.length} scores for ${tokens.length} tokens; one each was expected.`);
  }
  const chips: Chip[] = [];
  tokens.forEach((token, i) => {
    const score = scores[i]!;
    if (!Number.isFinite(score)) throw new Error(`The score of token ${i + 1} is ${score}; a finite number was expected.`);
    const last = chips.at(-1);
    if (last !== undefined && token.parts > 1 && token.part > 1 && last.tokens.at(-1)!.group === token.group) {
      last.tokens.push(token);
      last.scores.push(score);
      last.score += score;
    } else {
      chips.push({ first: i, tokens: [token], scores: [score], score });
    }
  });
  return chips;
}

/** The symmetric limit of the colours: the largest chip, so that its colour is the strongest; 0 where all are 0. */
export function limitOf(chips: readonly Chip[]): number {
  return chips.reduce((most, chip) => Math.max(most, Math.abs(chip.score)), 0);
}

/** -0.41 with a true minus sign, +0.41, 0. At most three significant digits, at least two decimals above 0.01. */
export function formatScore(score: number): string {
  const size = Math.abs(score);
  if (size === 0) return "0";
  const digits = size >= 0.095 ? size.toFixed(2) : size >= 1e-4 ? String(Number(size.toPrecision(2))) : size.toExponential(0);
  return `${score < 0 ? "−" : "+"}${digits}`;
}

/** The same without a plus: 4.44 or −0.02. */
export function formatAmount(amount: number): string {
  return formatScore(amount).replace("+", "");
}

/** Where a score lies in a signed colour table of 256 entries whose middle is zero. */
export function shareOf(score: number, limit: number): number {
  return limit === 0 ? 0 : Math.max(-1, Math.min(1, score / limit));
}

/** A share of 1 as a percentage with a sign: +58 %, or nothing where the whole is zero. */
export function percentOf(score: number, difference: number): string {
  if (!(Math.abs(difference) > 1e-12)) return "";
  return `${Math.round((100 * score) / difference)} %`.replace("-", "−");
}
