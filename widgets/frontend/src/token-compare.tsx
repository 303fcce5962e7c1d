// Two tokenizers on one text: what covers the same characters stands one above the other.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { agrees, type Other, type TokenPicture } from "./token-picture";
import { blankMarks, chips, sharedWords, tokenWords, useWords, type WireToken } from "./shared";

const SHOWN_AT_FIRST = 400; // groups; as in a strip, more than a reader looks at makes typing slow

export function Comparison({ picture, other, name }: { picture: TokenPicture; other: Other; name: string }): JSX.Element {
  const words = useWords(tokenWords);
  const common = useWords(sharedWords);
  const unfolded = useSignal(false);
  if (other.refused !== "") {
    return (
      <p class="explorer-warning" role="status">
        {other.refused}
      </p>
    );
  }
  const shown = unfolded.value ? other.groups : other.groups.slice(0, SHOWN_AT_FIRST);
  const same = other.groups.filter(agrees).length;
  return (
    <section class="explorer-token-compare" aria-label={words.compared}>
      <p class="explorer-token-facts">
        <span>{words.counted(name, picture.counts.tokens)}</span>
        <span>{words.counted(other.name, other.counts.tokens)}</span>
        <span>{words.agree(same, other.groups.length)}</span>
      </p>
      <div class="explorer-token-pairs" role="list">
        {shown.map((group, index) => (
          <span key={index} class={`explorer-token-pair ${agrees(group) ? "" : "is-different"}`} role="listitem">
            <Side tokens={picture.tokens.slice(...group.a)} />
            <Side tokens={other.tokens.slice(...group.b)} />
          </span>
        ))}
      </div>
      {shown.length < other.groups.length && (
        <button type="button" class="explorer-link" onClick={() => (unfolded.value = true)}>
          {common.showAll(picture.counts.tokens)}
        </button>
      )}
    </section>
  );
}

function Side({ tokens }: { tokens: readonly WireToken[] }): JSX.Element {
  const words = useWords(sharedWords);
  return (
    <span class="explorer-token-side">
      {tokens.length === 0 && <span class="is-nothing">∅</span>}
      {chips(tokens).map((chip) => {
        const ids = chip.indices.map((index) => words.id(tokens[index]!.id)).join(", ");
        const marks = blankMarks(chip.text);
        return (
          <span key={chip.indices[0]} class={`explorer-chip is-${chip.kind}`} title={ids}>
            <bdi class={`explorer-text ${marks ? "is-space" : ""}`} dir="auto" data-marks={marks ?? undefined}>
              {chip.text}
            </bdi>
            {chip.indices.length > 1 && <small class="explorer-part">{chip.indices.length}</small>}
          </span>
        );
      })}
    </span>
  );
}
