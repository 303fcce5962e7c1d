/** What is true now, in words and as a thin line. */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { useLong, useUnanswered } from "./patience";
import { useModel } from "./scope";
import type { CommonState, Status } from "./wire";
import { type Said, inWords } from "./said";
import { type Words, noteWords, sharedWords, useWords } from "./words";

/** A duration as people say it: "<1 ms", "61 ms", "1.2 s". */
export function duration(ms: number): string {
  if (ms < 1) return "<1 ms";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** An answer that comes sooner is simply there: words that flash at every letter are noise, and painting them costs
 * the pass that they tell of its processors. */
const SUDDEN_MS = 150;

/** The status as it is told; whoever asks is drawn anew with each, so only what shows it should. */
function useStatus(): Partial<Status> {
  const status = useModel<CommonState>().trait("status").value ?? {};
  const told = useRef(status);
  const sudden = status.state === "working" && typeof status.progress !== "number" && !status.note;
  const long = useLong(sudden, SUDDEN_MS);
  if (!sudden || long || told.current.state !== "live") told.current = status;
  return told.current;
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

/** How long the rest will take, as people say it; empty where that is less than a second or cannot be told. */
export function remaining(left: number | null | undefined, words: Words<typeof sharedWords>): string {
  if (typeof left !== "number" || !(left >= 1)) return "";
  return left < 90 ? words.secondsLeft(Math.round(left)) : words.minutesLeft(Math.round(left / 60));
}

/** The dot and the words at the right of the title, with the model's name in the tooltip. */
export function StatusWords({ broken }: { broken: boolean }): JSX.Element | null {
  const panel = useModel<CommonState>();
  const status = useStatus();
  const words = useWords(sharedWords);
  const wordsOf = useStatusWords();
  const unanswered = useUnanswered();
  const about = panel.trait("about").value ?? {};
  const model = [about.name, about.dtype, about.device].filter((part) => part).join(" · ");
  if (panel.saved !== null) {
    // A workbench says it once for all its panels.
    if (panel.trait("embedded").value === true) return null;
    return <span class="explorer-status">{words.saved(panel.saved.model, panel.saved.date)}</span>;
  }
  const told = (dot: string, text: string, why?: string, rest?: JSX.Element | null): JSX.Element => (
    <span class="explorer-status" title={model === "" ? undefined : model}>
      <i class={`explorer-dot is-${dot}`} aria-hidden="true" />
      <span role="status" title={why}>
        {text}
      </span>
      {rest}
    </span>
  );
  if (!panel.connected.value) return told("gone", words.gone, words.runAgain);
  if (unanswered && panel.busy.value) return told("waiting", words.cellRuns, words.whyCellRuns);
  if (broken) return told("error", words.states.error);
  // What counts down stands beside the live region: nobody wants every second of it read out.
  const left = status.state === "working" ? remaining(status.left, words) : "";
  return told(status.state ?? "waiting", wordsOf(status), undefined, left === "" ? null : <span>· {left}</span>);
}

/** Ends what takes long, and gives a way to ask for it once more. */
export function StopButton(): JSX.Element | null {
  const panel = useModel<CommonState>();
  const status = useStatus();
  const words = useWords(sharedWords);
  const long = useLong(status.state === "working");
  if (!panel.connected.value) return null;
  if (status.state === "working" && (long || typeof status.progress === "number")) {
    return (
      <button
        type="button"
        class="explorer-button explorer-stop"
        aria-label={words.stopWork}
        onClick={() => panel.send({ type: "stop" })}
      >
        {words.stop}
      </button>
    );
  }
  const request = panel.trait("view").value?.request;
  if (status.state !== "stopped" || request === status.request) return null;
  return (
    <button type="button" class="explorer-button explorer-stop" onClick={() => panel.send({ type: "again" })}>
      {words.again}
    </button>
  );
}

/** The thin line under the title while something is computed. */
export function StatusLine(): JSX.Element {
  const status = useStatus();
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
