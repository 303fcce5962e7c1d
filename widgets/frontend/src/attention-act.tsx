/** Changing what the chosen heads do: edits of the exploration, which everything follows. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { type Picture, type State, headsName } from "./attention-state";
import { type WireEdit, attentionWords, useDomId, useModel, useWords } from "./shared";

/** Where edits act on a layer's heads. */
function siteOf(picture: Picture, layer: number): string {
  return picture.site.replace("{}", String(layer));
}

/** What an edit changes: Python says it of all, the browser of those that it has just written itself. */
function actsOf({ acts, edit }: WireEdit): Record<string, unknown> {
  return acts ?? edit ?? {};
}

function isOn(edit: WireEdit, site: string, kind: string, heads: readonly number[]): boolean {
  const acts = actsOf(edit);
  return acts["kind"] === kind && acts["site"] === site && String(acts["heads"]) === String(heads);
}

/** The heads of a layer that an edit changes. */
export function editedHeads(edits: readonly WireEdit[], picture: Picture, layer: number): number[] {
  const site = siteOf(picture, layer);
  const all = Array.from({ length: picture.headsPerLayer[layer] ?? 0 }, (_, head) => head);
  const changed = edits.map(actsOf).flatMap((acts) => {
    if (acts["site"] !== site) return [];
    return Array.isArray(acts["heads"]) ? (acts["heads"] as number[]) : all;
  });
  return [...new Set(changed)];
}

/** Buttons that ablate, scale and patch the chosen heads. */
export function ActOnHeads(props: { picture: Picture; layer: number; heads: readonly number[] }): JSX.Element | null {
  const { picture, layer, heads } = props;
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const typed = useSignal<string | null>(null);
  const fieldId = useDomId();
  const edits = model.trait("edits").value ?? [];
  if (picture.site === "") return null;
  const site = siteOf(picture, layer);
  const sorted = [...heads].sort((a, b) => a - b);
  const ablated = edits.find((edit) => isOn(edit, site, "Ablate", sorted));
  const scaled = edits.find((edit) => isOn(edit, site, "Scale", sorted));
  const patched = edits.find((edit) => isOn(edit, site, "Patch", sorted));
  const pinned = model.trait("pinned").value;
  const factor = typeof scaled?.edit?.["factor"] === "number" ? scaled.edit["factor"] : 1;
  const put = (before: WireEdit | undefined, edit: Record<string, unknown> | null): void => {
    const others = edits.filter((other) => other !== before);
    const number = Math.max(-1, ...edits.map((other) => other.number)) + 1;
    const added = edit === null ? [] : [{ number, label: "", edit: { ...edit, site, heads: sorted } }];
    model.write({ edits: [...others, ...added] });
  };
  const scale = (text: string): void => {
    typed.value = null;
    const wanted = text.trim() === "" ? 1 : Number(text);
    if (!Number.isFinite(wanted) || wanted === factor) return;
    put(scaled, wanted === 1 ? null : { kind: "Scale", factor: wanted });
  };
  return (
    <div class="explorer-act" role="group" aria-label={words.act(headsName(words, { layer, heads: sorted }))}>
      <button
        type="button"
        class="explorer-button"
        disabled={!model.connected.value}
        aria-pressed={ablated !== undefined}
        onClick={() => put(ablated, ablated === undefined ? { kind: "Ablate" } : null)}
      >
        {words.ablate}
      </button>
      <label for={fieldId}>
        {words.scaleBy}
      </label>
      <input
        id={fieldId}
        class="explorer-field explorer-factor"
        disabled={!model.connected.value}
        inputMode="decimal"
        value={typed.value ?? String(factor)}
        onInput={(event) => (typed.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") scale(event.currentTarget.value);
          else if (event.key === "Escape") typed.value = null;
        }}
        onBlur={(event) => scale(event.currentTarget.value)}
      />
      <button
        type="button"
        class="explorer-button"
        disabled={!model.connected.value || (!pinned && patched === undefined)}
        aria-pressed={patched !== undefined}
        title={pinned ? words.patchFrom(pinned.text) : words.pinFirst}
        onClick={() => (patched ? put(patched, null) : model.send({ type: "patch", layer, heads: sorted }))}
      >
        {words.patch}
      </button>
    </div>
  );
}
