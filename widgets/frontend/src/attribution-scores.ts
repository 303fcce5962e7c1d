// Scores of tokens as they are drawn: one chip per visible character or word, limits symmetric around zero, and
// numbers that carry their sign.

import { type Chip, chips, type sharedWords, type WireToken, type Words } from "./shared";

/** A chip with what its tokens contributed. */
export interface ScoredChip extends Chip {
  /** One per piece. */
  scores: number[];
  /** Their sum: contributions add up. */
  score: number;
}

/**
 * Chips for tokens and their scores; pieces of one character share one.
 *
 * @throws Error where the scores do not match the tokens or are no numbers
 */
export function scoreChips(tokens: readonly WireToken[], scores: readonly number[]): ScoredChip[] {
  if (scores.length !== tokens.length) {
    throw new Error(`There are ${scores.length} scores for ${tokens.length} tokens; one each was expected.`);
  }
  scores.forEach((score, i) => {
    if (!Number.isFinite(score)) throw new Error(`The score of token ${i} is ${score}; a finite number was expected.`);
  });
  return chips(tokens).map((chip) => {
    const own = chip.indices.map((index) => scores[index]!);
    return { ...chip, scores: own, score: own.reduce((sum, score) => sum + score, 0) };
  });
}

/** The symmetric limit of the colours: the largest chip, so that its colour is the strongest; 0 where all are 0. */
export function limitOf(scored: readonly ScoredChip[]): number {
  return scored.reduce((most, chip) => Math.max(most, Math.abs(chip.score)), 0);
}

/** +0.41, −0.41 with a true minus sign, 0; small ones with two significant digits. */
export function formatScore(score: number): string {
  const size = Math.abs(score);
  if (size === 0) return "0";
  return `${score < 0 ? "−" : "+"}${formatSize(size)}`;
}

function formatSize(size: number): string {
  if (size >= 0.095) return size.toFixed(2);
  return size >= 1e-4 ? String(Number(size.toPrecision(2))) : size.toExponential(0);
}

/** The same without a plus: 4.44 or −0.02. */
export function formatAmount(amount: number): string {
  return formatScore(amount).replace("+", "");
}

/** A part of the explained difference: "8 %", or nothing where there is no difference. */
export function percentOf(score: number, difference: number, words: Words<typeof sharedWords>): string {
  if (!(Math.abs(difference) > 1e-9)) return "";
  return words.percent(String(Math.round((100 * score) / difference)).replace("-", "−"));
}
