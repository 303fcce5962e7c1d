/** What is true now, in words and as a thin line. */

import type { JSX } from "preact";
import { useModel } from "./scope";
import type { CommonState, Status } from "./wire";
import { type Said, inWords } from "./said";
import { noteWords, sharedWords, useWords } from "./words";

/** A duration as people say it: "<1 ms", "61 ms", "1.2 s". */
export function duration(ms: number): string {
  if (ms < 1) return "<1 ms";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** A function that words a status in the language of now. */
function useStatusWords(): (status: Partial<Status>) => string {
  const { states } = useWords(sharedWords);
  const wordings = useWords(noteWords);
  const word = (said: Said | undefined): string => inWords(said ?? "", wordings);
  return ({ state, note, progress_note: step, ms }) => {
    if (state === "error") return states.error;
    const parts = [states[state ?? "waiting"], word(step), word(note)];
    if (state === "live" && typeof ms === "number") parts.push(duration(ms));
    return parts.filter((part) => part).join(" · ");
  };
}

/** The dot and the words at the right of the title, with the model's name in the tooltip. */
export function StatusWords({ status, broken }: { status: Partial<Status>; broken: boolean }): JSX.Element {
  const panel = useModel<CommonState>();
  const words = useWords(sharedWords);
  const wordsOf = useStatusWords();
  const about = panel.trait("about").value ?? {};
  const model = [about.name, about.dtype, about.device].filter((part) => part).join(" · ");
  if (!panel.connected.value) {
    return (
      <span class="explorer-status" title={model === "" ? undefined : model}>
        <i class="explorer-dot is-gone" aria-hidden="true" />
        <span role="status" title={words.runAgain}>
          {words.gone}
        </span>
      </span>
    );
  }
  const state = broken ? "error" : (status.state ?? "waiting");
  return (
    <span class="explorer-status" title={model === "" ? undefined : model}>
      <i class={`explorer-dot is-${state}`} aria-hidden="true" />
      <span role="status">{broken ? words.states.error : wordsOf(status)}</span>
    </span>
  );
}

/** The thin line under the title while something is computed. */
export function StatusLine({ status }: { status: Partial<Status> }): JSX.Element {
  const { state, progress } = status;
  const { connected } = useModel<CommonState>();
  const words = useWords(sharedWords);
  const wordings = useWords(noteWords);
  if (!connected.value || state !== "working") return <div class="explorer-line" aria-hidden="true" />;
  if (typeof progress !== "number") return <div class="explorer-line is-busy" aria-hidden="true" />;
  const percent = Math.round(Math.max(0, Math.min(1, progress)) * 100);
  return (
    <div
      class="explorer-line"
      role="progressbar"
      aria-label={inWords(status.progress_note ?? "", wordings) || words.progress}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}
