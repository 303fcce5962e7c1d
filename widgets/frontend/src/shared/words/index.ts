/**
 * The panels' words in the language that is wanted now: the trait `language`, or the browser's.
 *
 *     const words = useWords(samplingWords);      in a component
 *     const words = wordsOf(model, samplingWords) anywhere else; inside a computed signal it follows the language too
 *
 * Each area is an export of its own, so that a panel's bundle carries the words it says and no others.
 */

import { useModel } from "../scope";
import type { PanelModel } from "../model";
import type { Wordings } from "../said";
import type { CommonState } from "../wire";
import * as en from "./en";
import * as zh from "./zh";

export type Language = "en" | "zh";

/** The words of one part of the interface, in every language. */
export type Area<W> = Readonly<Record<Language, W>>;

/** The words of an area in one language. */
export type Words<A> = A extends Area<infer W> ? W : never;

export const sharedWords = { en: en.shared, zh: zh.shared };
export const samplingWords = { en: en.sampling, zh: zh.sampling };
export const attributionWords = { en: en.attribution, zh: zh.attribution };
export const attentionWords = { en: en.attention, zh: zh.attention };
export const linesWords = { en: en.lines, zh: zh.lines };
export const textWords = { en: en.text, zh: zh.text };
export const measureNames = { en: en.measureNames, zh: zh.measureNames };
export const measuresWords = { en: en.measures, zh: zh.measures };
export const neuronWords = { en: en.neuron, zh: zh.neuron };
export const picturesWords = { en: en.pictures, zh: zh.pictures };
export const planeWords = { en: en.plane, zh: zh.plane };
export const depthWords = { en: en.depth, zh: zh.depth };
export const differenceWords = { en: en.difference, zh: zh.difference };
export const tokenWords = { en: en.token, zh: zh.token };
export const pageWords = { en: en.page, zh: zh.page };
export const workbenchWords = { en: en.workbench, zh: zh.workbench };
/** Of what Python notes; its own words are the English ones. */
export const noteWords: Area<Partial<Wordings>> = { en: {}, zh: zh.notes };
/** Of what the token panel alone is told; other panels need not carry it. */
export const cautionWords: Area<Partial<Wordings>> = { en: {}, zh: zh.cautions };

/** The language that is meant: `wanted` where it is one, else the browser's where that is one of ours, else English. */
export function languageOf(wanted: unknown, browsers: string | undefined): Language {
  if (wanted === "en" || wanted === "zh") return wanted;
  return /^zh\b/i.test(browsers ?? "") ? "zh" : "en";
}

/** The words of an area as `model` wants them now. */
export function wordsOf<W>(model: PanelModel<unknown>, area: Area<W>): W {
  const language = (model as PanelModel<CommonState>).trait("language").value;
  return area[languageOf(language, globalThis.navigator?.language)];
}

/** The same for the panel that the component stands in; it is drawn anew when the language changes. */
export function useWords<W>(area: Area<W>): W {
  return wordsOf(useModel(), area);
}
