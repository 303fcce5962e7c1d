// What the panel reads from Python: the synced traits, and the `view` checked.

import { type ScoredChip, scoreChips } from "./attribution-scores";
import {
  type attributionWords,
  checkView,
  type CommonState,
  type Said,
  type View,
  type WireToken,
  type Words,
} from "./shared";

export type Method = "input_x_gradient" | "integrated_gradients";

export const METHODS: readonly Method[] = ["input_x_gradient", "integrated_gradients"];

export type AttributionWords = Words<typeof attributionWords>;

export type Choice = Pick<WireToken, "id" | "text" | "kind">;

export interface NextChoice extends Choice {
  probability: number;
}

/** What one method found. */
export interface Result {
  /** One per token of the prompt, in logits. */
  scores: number[];
  /** Their sum. */
  total: number;
  /** What they explain: logit(target), minus logit(against) where there is one. */
  difference: number;
  /** Integrated gradients only: total minus what the explained number changed by since the baseline. */
  delta: number | null;
  steps: number | null;
  baseline: Said;
}

/** A character or word, with its first and last token. */
export interface Unit {
  text: string;
  first: number;
  last: number;
}

export type Units = Partial<Record<"character" | "word", Unit[]>>;

export interface AttributionView extends View {
  units?: Units;
  next: NextChoice[];
  target: Choice;
  against: Choice | null;
  results: Partial<Record<Method, Result>>;
  /** Why there are no results, where there can be none; else empty. */
  unavailable?: Said;
}

export interface State extends CommonState {
  target: number | null;
  against: number | null;
  target_text: string;
  target_error: string;
  method: Method;
}

export interface Scored extends Result {
  chips: ScoredChip[];
}

export interface AttributionPicture {
  tokens: WireToken[];
  units: Units;
  next: NextChoice[];
  target: Choice;
  against: Choice | null;
  results: Partial<Record<Method, Scored>>;
  unavailable: Said;
}

/**
 * Checks a view and sums the pieces of characters.
 *
 * @throws Error naming what is malformed
 */
export function readAttributionView(view: AttributionView): AttributionPicture {
  const { tokens } = checkView(view);
  if (!Array.isArray(view.next) || !view.next.every((n) => isChoice(n) && Number.isFinite(n.probability))) {
    throw new Error("view.next must be a list of tokens with probabilities.");
  }
  if (!isChoice(view.target)) throw new Error("view.target is no token.");
  if (view.against != null && !isChoice(view.against)) throw new Error("view.against is no token.");
  const results: AttributionPicture["results"] = {};
  for (const key of METHODS) {
    const result = view.results?.[key];
    if (result != null) results[key] = readResult(result, key, tokens);
  }
  return { tokens, units: view.units ?? {}, next: view.next, target: view.target, against: view.against ?? null, results, unavailable: view.unavailable ?? "" };
}

function isChoice(raw: Partial<Choice> | null | undefined): raw is Choice {
  return typeof raw?.text === "string" && typeof raw.id === "number";
}

function readResult(result: Result, method: Method, tokens: WireToken[]): Scored {
  if (!Array.isArray(result.scores)) throw new Error(`view.results.${method}.scores is no list.`);
  if (!Number.isFinite(result.total) || !Number.isFinite(result.difference)) {
    throw new Error(`view.results.${method} must have a finite total and difference.`);
  }
  return { ...result, chips: scoreChips(tokens, result.scores) };
}
