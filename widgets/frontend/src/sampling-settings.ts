// What each sampling control means: its limits, what a typed text becomes, and where it lies on a slider.

import { NEUTRAL, type Filter, type Settings } from "./sampling-math";
import type { samplingWords, Words } from "./shared";

export type SamplingWords = Words<typeof samplingWords>;

export type Knob = Exclude<keyof Settings, "seed">;

/** A typed text is either a value or a sentence that says what is allowed. */
export type Parsed<T> = { value: T } | { problem: string };

export interface Control {
  key: Knob;
  accepts(value: number): boolean;
  format(value: number, words: SamplingWords): string;
  /** Slider positions are whole numbers from 0 to `last`. */
  last(vocabulary: number): number;
  toPosition(value: number, vocabulary: number): number;
  fromPosition(position: number, vocabulary: number): number;
  /** Typing "off" means this value, where a control can be off. */
  off: number | null;
}

/** Two decimals where they say it all, else four significant digits: 1.00, 0.005, 1e+9. */
export function formatNumber(value: number): string {
  if (Math.abs(value) >= 1e4) return value.toExponential(3).replace(/\.?0+e\+?/, "e");
  const short = value.toFixed(2);
  return Number(short) === value ? short : String(Number(value.toPrecision(4)));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** A slider with even steps from low to high. */
function even(low: number, high: number, step: number) {
  const digits = Math.round(1 / step);
  const last = Math.round((high - low) / step);
  return {
    last: () => last,
    toPosition: (value: number) => clamp(Math.round((value - low) / step), 0, last),
    fromPosition: (position: number) => Math.round((low + position * step) * digits) / digits,
  };
}

const LEADING = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];

/** 0 (off), then 1, 2, 3, ... 10, 12, 15, 20, ... in steps that grow with the value, and last the vocabulary. */
export function topKSteps(vocabulary: number): number[] {
  const steps = [0];
  for (let decade = 1; decade < vocabulary; decade *= 10) {
    for (const lead of decade === 1 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : LEADING) {
      if (lead * decade < vocabulary) steps.push(lead * decade);
    }
  }
  if (vocabulary > 0) steps.push(vocabulary);
  return steps;
}

function nearest(steps: readonly number[], value: number): number {
  let best = 0;
  steps.forEach((step, i) => {
    if (Math.abs(step - value) < Math.abs(steps[best]! - value)) best = i;
  });
  return best;
}

const MIN_P_LAST = 100;

export const CONTROLS: readonly Control[] = [
  {
    key: "temperature",
    accepts: (value) => value >= 0,
    format: (value, words) => (value === 0 ? words.greedy : formatNumber(value)),
    off: null,
    ...even(0, 2, 0.01),
  },
  {
    key: "top_k",
    accepts: (value) => Number.isSafeInteger(value) && value >= 0,
    format: (value, words) => (value === 0 ? words.off : words.whole(value)),
    off: 0,
    last: (vocabulary) => topKSteps(vocabulary).length - 1,
    toPosition: (value, vocabulary) => nearest(topKSteps(vocabulary), value),
    fromPosition: (position, vocabulary) => topKSteps(vocabulary)[position] ?? 0,
  },
  {
    key: "top_p",
    accepts: (value) => value >= 0 && value <= 1,
    format: (value, words) => (value === 1 ? words.off : formatNumber(value)),
    off: 1,
    ...even(0, 1, 0.01),
  },
  {
    key: "min_p",
    accepts: (value) => value >= 0 && value <= 1,
    format: (value, words) => (value === 0 ? words.off : formatNumber(value)),
    off: 0,
    // Useful values crowd near 0, so positions are square roots.
    last: () => MIN_P_LAST,
    toPosition: (value) => Math.round(Math.sqrt(clamp(value, 0, 1)) * MIN_P_LAST),
    fromPosition: (position) => Number(((position / MIN_P_LAST) ** 2).toFixed(4)),
  },
  {
    key: "repetition_penalty",
    accepts: (value) => value > 0,
    format: formatNumber,
    off: 1,
    ...even(0.5, 2, 0.01),
  },
];

const CONTROL_OF = new Map(CONTROLS.map((control) => [control.key, control]));

/** What a typed text means for a control; a decimal comma is a decimal point. Words are known in English as well. */
export function parseKnob(key: Knob, text: string, words: SamplingWords): Parsed<number> {
  const control = CONTROL_OF.get(key)!;
  const typed = text.trim();
  const word = typed.toLowerCase();
  if ((word === "off" || word === words.off) && control.off !== null) return { value: control.off };
  if (key === "temperature" && (word === "greedy" || word === words.greedy)) return { value: 0 };
  const plain = key === "top_k" ? typed.replace(/(?<=\d),(?=\d{3}\b)/g, "") : typed.replace(",", ".");
  const value = plain === "" ? NaN : Number(plain);
  if (Number.isFinite(value) && control.accepts(value)) return { value };
  const { label, allowed } = words.knobs[key];
  return { problem: words.mustBe(label, allowed, quote(typed, words)) };
}

/** An empty seed means another draw each time. */
export function parseSeed(text: string, words: SamplingWords): Parsed<number | null> {
  const typed = text.trim();
  if (typed === "") return { value: null };
  const value = Number(typed);
  if (Number.isSafeInteger(value) && value >= 0) return { value };
  return { problem: words.seedMustBe(quote(typed, words)) };
}

export function parseMaxTokens(text: string, most: number, words: SamplingWords): Parsed<number> {
  const typed = text.trim();
  const value = typed === "" ? NaN : Number(typed);
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return { value };
  return { problem: words.lengthMustBe(most, quote(typed, words)) };
}

function quote(typed: string, words: SamplingWords): string {
  if (typed === "") return words.emptyField;
  return `“${typed.length > 20 ? `${typed.slice(0, 20)}…` : typed}”`;
}

/** The trait as it arrived; what is missing or not allowed is neutral, so that a slider always stands somewhere. */
export function readSettings(raw: unknown): Settings {
  const given = (typeof raw === "object" && raw !== null ? raw : {}) as Record<string, unknown>;
  const settings = { ...NEUTRAL };
  for (const { key, accepts } of CONTROLS) {
    const value = given[key];
    if (typeof value === "number" && Number.isFinite(value) && accepts(value)) settings[key] = value;
  }
  const seed = given["seed"];
  if (typeof seed === "number" && Number.isSafeInteger(seed) && seed >= 0) settings.seed = seed;
  return settings;
}

export function sameSettings(a: Settings, b: Settings): boolean {
  return (Object.keys(NEUTRAL) as (keyof Settings)[]).every((key) => a[key] === b[key]);
}

/** How a cut is called on its line: "top-p 0.97", or "greedy". */
export function nameCut(filter: Filter, settings: Settings, words: SamplingWords): string {
  return filter === "temperature" ? words.greedyCut : nameSetting(filter, settings[filter], words);
}

/** A setting and its value: "temperature 0.80". */
function nameSetting(key: Knob, value: number, words: SamplingWords): string {
  return `${words.knobs[key].label} ${CONTROL_OF.get(key)!.format(value, words)}`;
}

/** Only what is not neutral: "temperature 0.80 · top-p 0.95 · seed 7". */
export function describeSettings(settings: Partial<Settings>, words: SamplingWords): string {
  const parts = CONTROLS.flatMap(({ key }) => {
    const value = settings[key];
    return typeof value === "number" && value !== NEUTRAL[key] ? [nameSetting(key, value, words)] : [];
  });
  if (typeof settings.seed === "number") parts.push(`${words.seed} ${settings.seed}`);
  return parts.length === 0 ? words.withoutFilters : parts.join(" · ");
}
