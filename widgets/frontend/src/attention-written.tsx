/** What the model wrote on from the prompt: whether the picture shows it, and as of which step. */

import type { JSX } from "preact";
import type { State } from "./attention-state";
import { TokenStrip, attentionWords, inWords, noteWords, sharedWords, tokenName, useModel, useWords } from "./shared";

/** A switch, and the written tokens: each is a step that can be seen again. Nothing where nothing was written. */
export function AttentionWritten(): JSX.Element | null {
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const { needsModel } = useWords(sharedWords);
  const notes = useWords(noteWords);
  const written = model.trait("written").value ?? null;
  if (written === null || written.tokens.length === 0) return null;
  const { tokens } = written;
  const why = inWords(written.unrecorded, notes);
  const live = model.connected.value;
  const on = model.trait("with_written").value !== false && why === "";
  const chosen = model.trait("step").value ?? null;
  const shown = chosen ?? tokens.length - 1;
  const said = (step: number): string => words.step(step, tokenName(tokens[step] ?? tokens[0]!));
  const choose = (step: number | null): void => {
    if (live) model.write({ step });
  };
  return (
    <div class="explorer-written" role="group" aria-label={words.written}>
      <button
        type="button"
        class="explorer-button"
        aria-pressed={on}
        disabled={!live || why !== ""}
        title={live ? undefined : needsModel}
        onClick={() => model.write({ with_written: !on })}
      >
        {words.withWritten}
      </button>
      {why !== "" && <p class="explorer-note">{why}</p>}
      {on && (
        <>
          <TokenStrip
            label={words.steps}
            tokens={tokens}
            active={shown}
            selected={chosen === null ? [] : [chosen]}
            tip={said}
            describe={said}
            onClick={(step) => choose(step === chosen ? null : step)}
            onRelease={() => choose(null)}
          />
          <p class="explorer-note">{said(shown)}</p>
        </>
      )}
    </div>
  );
}
