// Numbers as the panels say them.

import type { Words, sharedWords } from "./shared";

/** 0.923, 0.0044, 3e-5; never "1.000" for what is less than 1, never "0.0000" for what is more than 0. */
export function formatProbability(p: number): string {
  if (p === 0) return "0";
  if (p >= 0.9995 && p < 1) return (Math.floor(p * 1e4) / 1e4).toFixed(4);
  if (p >= 0.01) return p.toFixed(3);
  if (p >= 0.0001) return p.toFixed(4);
  return p.toExponential(0).replace("-", "−");
}

/** A change with its sign: +0.21, −0.0044, 0. */
export function formatChange(change: number): string {
  if (change === 0) return "0";
  return `${change < 0 ? "−" : "+"}${formatProbability(Math.abs(change))}`;
}

/** A share of the mass: 3.1 %, 0.02 %, less than 0.01 %. */
export function formatShare(share: number, words: Words<typeof sharedWords>): string {
  const percent = share * 100;
  if (percent === 0) return words.percent("0");
  if (percent < 0.01) return words.lessThan(words.percent("0.01"));
  if (percent > 99.99 && percent < 100) return words.moreThan(words.percent("99.99"));
  return words.percent(percent >= 1 ? percent.toFixed(1) : percent.toPrecision(1));
}
