/**
 * What is explored, as every panel reads and changes it. Panels hold their `Exploration` by reference and read its model
 * in the browser, so that they follow each other while the kernel is busy, and where there is none.
 */

import type { HostModel } from "./model";
import type { Said } from "./said";
import type { WireToken } from "./wire";

/** One change to a pass. What holds a tensor has no plain values; it goes back to Python by its number. */
export interface WireEdit {
  number: number;
  label: string;
  edit: Record<string, unknown> | null;
  /** What it changes, also where it has no plain values. */
  acts?: { kind: string; site: string; heads: number[] | null };
}

/** What was pinned, to be shown beside what is shown now; see `Pinned` in Python. */
export interface WirePinned {
  text: string;
  /** In words. */
  edits: string[];
  settings: Record<string, number | null>;
  tokens: WireToken[];
  /** What panels drew, each under the name of its kind: their `view` as it was then. */
  pictures: Record<string, unknown>;
}

/** What the model wrote on from the text; see `Written` in Python. */
export interface WireWritten {
  /** One for each step. */
  tokens: WireToken[];
  /** Whether more is to come. */
  going: boolean;
  /** Why its attention was not recorded; empty where it was. */
  unrecorded: Said;
}

/** The traits of `Exploration`, the same names as in Python. */
export interface SharedState {
  text: string;
  special_tokens: boolean;
  literal: boolean;
  messages: { role: string; content: string }[] | null;
  /** `null` where the model has no decoder beside its text. */
  decoder: string | null;
  edits: WireEdit[];
  target: number | null;
  against: number | null;
  position: number | null;
  neuron: number | null;
  hover: number | null;
  language: "" | "en" | "zh";
  can_undo: boolean;
  can_redo: boolean;
  pinned: WirePinned | null;
  written: WireWritten | null;
}

/** Their names, with those whose form a panel knows. */
export const SHARED: ReadonlySet<string> = new Set([
  "text",
  "special_tokens",
  "literal",
  "messages",
  "decoder",
  "edits",
  "target",
  "against",
  "position",
  "selection",
  "neuron",
  "settings",
  "hover",
  "language",
  "can_undo",
  "can_redo",
  "pinned",
  "written",
]);

/** What this front end uses of the host, beside the model. Not every host has it. */
export interface Host {
  getModel(reference: string): Promise<HostModel>;
  getWidget(
    reference: string,
  ): Promise<{ render(context: { el: HTMLElement; signal: AbortSignal }): unknown }>;
}

/** The model of the exploration that a panel names; `null` where the host cannot give it. */
export async function explorationOf(model: HostModel, host: Host | undefined): Promise<HostModel | null> {
  const reference = model.get("exploration");
  if (typeof reference !== "string" || typeof host?.getModel !== "function") return null;
  try {
    return await host.getModel(reference);
  } catch {
    return null;
  }
}
