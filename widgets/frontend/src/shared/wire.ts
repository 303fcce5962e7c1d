/**
 * The values that travel between Python and the panels: the names and shapes of the synced traits all panels share.
 * Each panel adds its own interface beside its code.
 */

import type { SharedState } from "./exploration";
import type { Said } from "./said";

/** One token as a person reads it. `part` of `parts` counts the pieces of one visible character, from 1. */
export interface WireToken {
  id: number;
  text: string;
  kind: "text" | "special" | "byte" | "control";
  group: number;
  part: number;
  parts: number;
  /** Who says it in a conversation; "template" for what the chat template wrote. */
  role?: string;
}

/** A failure: one sentence for everybody, and the details for whoever unfolds them. */
export interface Fault {
  message: Said;
  detail: string;
}

/**
 * What the kernel is doing. `ms` is how long the last picture took; `progress` goes from 0 to 1; `left` is how many
 * seconds the rest of the work will take, where that can be told. "closed" is a panel whose model was closed.
 */
export interface Status {
  state: "live" | "working" | "stopped" | "closed" | "error";
  request: number;
  ms: number | null;
  note: Said;
  progress: number | null;
  progress_note: Said;
  left: number | null;
  error: Fault | null;
}

export interface About {
  name: string;
  dtype: string;
  device: string;
  context: number;
}

/** The last complete picture; empty before the first one. Panels extend it. */
export interface View {
  request: number;
  tokens: WireToken[];
  /** Of the decoder's text, where the model has a decoder and the panel shows it. */
  decoder_tokens?: WireToken[] | null;
  notes: Said[];
}

/** The traits every panel has. `view` is `{}` until the first picture arrives. */
export interface CommonState extends SharedState {
  title: string;
  /** Whether a workbench shows the prompt. */
  embedded: boolean;
  /** Whether the frame around it is another panel's. */
  inside?: boolean;
  /** That panel, as a trait refers to it. */
  around?: string;
  about: Partial<About>;
  status: Partial<Status>;
  view: Partial<View>;
}
