// Generation: the buttons, and the tokens that came, each with what it could have been instead.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { barLength } from "./sampling-chart";
import { NumberField } from "./sampling-field";
import type { LiveSettings } from "./sampling-live";
import { describeSettings, parseMaxTokens, parseSeed } from "./sampling-settings";
import { describeRun, isBusy, type Step, type Stream } from "./sampling-stream";
import { formatProbability } from "./sampling-words";
import {
  noteWords,
  samplingWords,
  sharedWords,
  type Swatch,
  tokenName,
  TokenStrip,
  useDomId,
  useModel,
  useWords,
  visible,
  type WireToken,
} from "./shared";

const TAIL = 6; // so many of the prompt's last tokens lead over to what was generated
const AT_FIRST = 40;

export interface BenchProps {
  live: LiveSettings;
  stream: Stream;
  /** How many tokens may be asked for; 0 where the prompt fills the context. */
  room: number;
}

/** Seed, length, and the button. */
export function Bench({ live, stream, room }: BenchProps): JSX.Element {
  const words = useWords(samplingWords);
  const { tokens, needsModel } = useWords(sharedWords);
  const notes = useWords(noteWords);
  const connected = useModel().connected.value;
  const most = useSignal(AT_FIRST);
  const seedId = useDomId();
  const mostId = useDomId();
  const run = stream.shown.value;
  const seed = live.shown.value.seed;
  const busy = isBusy(run);
  const length = Math.min(most.value, room);

  const generate = (): void => {
    live.flush();
    stream.ask(length, live.wanted);
  };
  return (
    <div class="explorer-sampling-bench" role="group" aria-label={words.generation}>
      <div class="explorer-sampling-knob">
        <label for={seedId} title={words.seedMeaning}>
          {words.seed}
        </label>
        <NumberField
          id={seedId}
          shown={seed === null ? "" : String(seed)}
          typed={seed === null ? "" : String(seed)}
          placeholder={words.noSeed}
          disabled={!connected}
          parse={(typed) => parseSeed(typed, words)}
          onCommit={(value) => live.change({ seed: value })}
          onStep={(direction) => live.change({ seed: Math.max(0, (live.wanted.seed ?? -1) + direction) })}
        />
      </div>
      <div class="explorer-sampling-knob">
        <label for={mostId}>{words.atMost}</label>
        <NumberField
          id={mostId}
          shown={tokens(length)}
          typed={String(length)}
          disabled={!connected}
          parse={(typed) => parseMaxTokens(typed, room, words)}
          onCommit={(value) => (most.value = value)}
          onStep={(direction) => (most.value = Math.max(1, Math.min(room, Math.min(most.peek(), room) + direction)))}
        />
      </div>
      <div class="explorer-sampling-go">
        <button
          type="button"
          class={`explorer-button ${busy ? "" : "is-first"}`}
          disabled={!connected || run.state === "stopping" || room === 0}
          title={connected ? undefined : needsModel}
          onClick={() => (busy ? stream.stop() : generate())}
        >
          {busy ? words.stop : words.generate}
        </button>
        <span role="status">{room === 0 ? words.promptFills : describeRun(run, words, tokens, notes)}</span>
      </div>
    </div>
  );
}

/** What was generated, after the prompt's end. */
export function Generation({ stream, prompt }: { stream: Stream; prompt: readonly WireToken[] }): JSX.Element | null {
  const words = useWords(samplingWords);
  const { steps, settings } = stream.shown.value;
  const continues = stream.continues.value;
  const tail = useMemo(() => (continues ? endOf(prompt) : []), [prompt, continues]);
  if (steps.length === 0) return null;
  return (
    <div class="explorer-sampling-output">
      <Row steps={steps} tail={tail} />
      <p class="explorer-sampling-muted">
        {continues ? "" : `${words.continuesEarlier} · `}
        {describeSettings(settings, words)} · {words.lineIsProbability}
      </p>
    </div>
  );
}

// A row's direction is that of its first letter: the tail must not turn the row around.
const LEFTWARDS = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

function readsLeftwards(tokens: readonly WireToken[]): boolean {
  const first = tokens.find(({ text, kind }) => kind === "text" && /\p{L}/u.test(text));
  return first !== undefined && LEFTWARDS.test(first.text);
}

/** The last tokens, from a whole character on. Their group numbers must not meet those of what follows. */
function endOf(prompt: readonly WireToken[]): WireToken[] {
  const leftwards = readsLeftwards(prompt);
  let from = Math.max(0, prompt.length - TAIL);
  while (from < prompt.length && (prompt[from]!.part > 1 || readsLeftwards(prompt.slice(from)) !== leftwards)) from++;
  return prompt.slice(from).map((token) => ({ ...token, group: -1 - token.group }));
}

function Row({ steps, tail }: { steps: Step[]; tail: readonly WireToken[] }): JSX.Element {
  const words = useWords(samplingWords);
  const tokens = useMemo(() => [...tail, ...steps], [steps, tail]);
  const stepAt = (index: number): Step | undefined => steps[index - tail.length];
  return (
    <div class="explorer-sampling-row">
      <TokenStrip
        label={words.generated}
        tokens={tokens}
        colorOf={(index) => underline(stepAt(index))}
        tip={(index) => {
          const step = stepAt(index);
          return step ? <StepTip step={step} /> : words.promptEnd;
        }}
        describe={(index) => {
          const step = stepAt(index);
          return step ? words.probability(formatProbability(step.probability)) : words.inPrompt;
        }}
      />
    </div>
  );
}

/** The prompt's end steps back; a generated token is underlined as far as it was likely. */
function underline(step: Step | undefined): Swatch {
  if (step === undefined) return { background: "none", ink: "var(--x-muted)" };
  const line = (color: string, percent: number): string =>
    `linear-gradient(var(${color}), var(${color})) left bottom / ${percent.toFixed(1)}% 2px no-repeat border-box`;
  return { background: `${line("--x-accent", 100 * step.probability)}, ${line("--x-line", 100)}`, ink: null };
}

/** What the model had to choose from; the chosen one is marked also where it is not among the likeliest. */
function StepTip({ step }: { step: Step }): JSX.Element {
  const { id } = useWords(sharedWords);
  const chosen = { id: step.id, text: step.text, kind: step.kind, probability: step.probability };
  const listed = step.alternatives.some((a) => a.id === step.id) ? step.alternatives : [...step.alternatives, chosen];
  return (
    <div class="explorer-sampling-tip">
      <div>
        <bdi>{tokenName(step)}</bdi> <b>{formatProbability(step.probability)}</b>
        <span class="explorer-sampling-muted"> {id(step.id)}</span>
      </div>
      {listed.map((alternative) => (
        <div key={alternative.id} class={`explorer-sampling-choice ${alternative.id === step.id ? "is-chosen" : ""}`}>
          <bdi class="explorer-text" dir="auto">
            {visible(alternative.text)}
          </bdi>
          <span class="explorer-sampling-track">
            <span style={{ width: barLength(alternative.probability) }} />
          </span>
          <span>{formatProbability(alternative.probability)}</span>
        </div>
      ))}
    </div>
  );
}
