// The sampling controls: a slider and an editable number each.

import type { JSX } from "preact";
import { NumberField } from "./sampling-field";
import type { LiveSettings } from "./sampling-live";
import { NEUTRAL } from "./sampling-math";
import { type Control, CONTROLS, parseKnob } from "./sampling-settings";
import { samplingWords, useDomId, useWords } from "./shared";

export interface KnobsProps {
  live: LiveSettings;
  vocabulary: number;
  /** Python's own sentence about settings it refused; empty where there is none. */
  refused: string;
}

export function Knobs({ live, vocabulary, refused }: KnobsProps): JSX.Element {
  const words = useWords(samplingWords);
  const settings = live.shown.value;
  const neutral = CONTROLS.every(({ key }) => settings[key] === NEUTRAL[key]);
  return (
    <div class="explorer-sampling-knobs" role="group" aria-label={words.settings}>
      <p class="explorer-sampling-facts">
        <span>{words.settingsHere}</span>
        <button
          type="button"
          class="explorer-link"
          disabled={neutral}
          onClick={() => live.change({ ...NEUTRAL, seed: live.wanted.seed })}
        >
          {words.reset}
        </button>
      </p>
      {CONTROLS.map((control) => (
        <Knob key={control.key} control={control} live={live} vocabulary={vocabulary} />
      ))}
      {refused !== "" && (
        <p class="explorer-warning explorer-sampling-problem" role="alert">
          {refused}
        </p>
      )}
    </div>
  );
}

function Knob({ control, live, vocabulary }: { control: Control; live: LiveSettings; vocabulary: number }): JSX.Element {
  const id = useDomId();
  const words = useWords(samplingWords);
  const { key } = control;
  const { label, meaning } = words.knobs[key];
  const value = live.shown.value[key];
  const shown = control.format(value, words);
  const last = control.last(vocabulary);
  const position = control.toPosition(value, vocabulary);
  const set = (to: number): void => live.change({ [key]: to });
  const share = (at: number): string => String(last === 0 ? 0 : at / last);
  return (
    <div class="explorer-sampling-knob">
      <label for={id} title={meaning}>
        {label}
      </label>
      <span
        class="explorer-sampling-slider"
        style={{ "--at": share(position), "--neutral": share(control.toPosition(NEUTRAL[key], vocabulary)) }}
      >
        <input
          id={id}
          type="range"
          min={0}
          max={last}
          step={1}
          value={position}
          aria-valuetext={shown}
          title={meaning}
          onInput={(event) => set(control.fromPosition(Number(event.currentTarget.value), vocabulary))}
        />
      </span>
      <NumberField
        label={words.typed(label)}
        shown={shown}
        typed={String(value)}
        parse={(text) => parseKnob(key, text, words)}
        onCommit={set}
        onStep={(direction) => {
          const next = Math.min(last, Math.max(0, control.toPosition(live.wanted[key], vocabulary) + direction));
          set(control.fromPosition(next, vocabulary));
        }}
      />
    </div>
  );
}
