// What the panel reads from Python: the synced traits, and the `view` decoded.

import { checkView, type CommonState, decodeFloats, decodeInts, type View, type WireToken } from "./shared";
import { NextToken, type Settings } from "./sampling-math";
import type { Generated } from "./sampling-stream";

export interface Label {
  text: string;
  kind: WireToken["kind"];
}

export interface SamplingView extends View {
  prompt_ids: unknown;
  logits: unknown;
  label_ids: unknown;
  labels: Label[];
}

export interface State extends CommonState {
  settings: Settings;
  generated: Partial<Generated>;
}

export interface SamplingPicture {
  tokens: WireToken[];
  /** Of the decoder's text, which is continued where there is one. */
  decoder: WireToken[] | null;
  next: NextToken;
  labels: ReadonlyMap<number, Label>;
}

/**
 * Decodes a view and sorts its logits row, once per row.
 *
 * @throws Error naming what is malformed
 */
export function readSamplingView(view: SamplingView): SamplingPicture {
  const { tokens, decoder_tokens: decoder = null } = checkView(view);
  const logits = decodeFloats(view.logits, "view.logits", 1).values;
  const promptIds = decodeInts(view.prompt_ids, "view.prompt_ids", 1).values;
  const ids = decodeInts(view.label_ids, "view.label_ids", 1).values;
  if (!Array.isArray(view.labels) || view.labels.length !== ids.length) {
    throw new Error(`view.labels must be a list of ${ids.length} labels, one for every label id.`);
  }
  const labels = new Map<number, Label>();
  view.labels.forEach((label, i) => {
    if (typeof label?.text !== "string") throw new Error("view.labels holds something that has no text.");
    labels.set(ids[i]!, label);
  });
  return { tokens, decoder, next: new NextToken(logits, promptIds), labels };
}
