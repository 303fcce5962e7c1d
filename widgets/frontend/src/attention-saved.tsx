/** In a saved page: says that a view stays as it was saved where something else is chosen, and leads back. */

import type { JSX } from "preact";
import type { Selection } from "./attention-state";
import { type CommonState, savedViewWords, useModel, useWords } from "./shared";

/** What the view's picture was drawn for, and which fields of it matter; there in a page alone. */
export interface SavedFor {
  selection: Partial<Selection>;
  by: (keyof Selection)[];
}

interface State extends CommonState {
  selection: Partial<Selection>;
  saved_for?: SavedFor;
}

const USUAL: Selection = { layer: 0, heads: [0], query: null, key: null, stack: null, kind: "attn" };

/** Whether what is chosen now would give the same picture. */
export function isAsSaved({ selection, by }: SavedFor, now: Partial<Selection>): boolean {
  const field = (of: Partial<Selection>, name: keyof Selection): string => JSON.stringify(of[name] ?? USUAL[name]);
  return by.every((name) => field(now, name) === field(selection, name));
}

export function AsSaved(): JSX.Element | null {
  const model = useModel<State>();
  const words = useWords(savedViewWords);
  const saved = model.trait("saved_for").value;
  if (!saved || isAsSaved(saved, model.trait("selection").value ?? {})) return null;
  return (
    <p class="explorer-note" role="status">
      {words.asSaved}{" "}
      <button type="button" class="explorer-button" onClick={() => model.write({ selection: saved.selection })}>
        {words.back}
      </button>
    </p>
  );
}
