/** How the chosen heads are shown: which view, which attention, and what its colours mean. */

import type { ComponentChildren, JSX } from "preact";
import { type Region, isWhole, whole, zoomed } from "./attention-region";
import type { Mode, Picture, Selection, State } from "./attention-state";
import { attentionWords, useModel, useWords } from "./shared";

export const MODES: readonly Mode[] = ["matrix", "text", "heads", "lines", "neuron", "depth", "difference", "pictures"];
const STEP = 1.5;

export interface ToolbarProps {
  picture: Picture;
  mode: Mode;
  /** Whether several heads are shown as one. */
  several: boolean;
  region: Region;
  onLook: (region: Region) => void;
  onSelect: (changes: Partial<Selection>) => void;
}

/** The toolbar of all views; what a view does not use is not there. */
export function AttentionToolbar(props: ToolbarProps): JSX.Element {
  const { picture, mode, several, region } = props;
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const full = whole(picture.queries, picture.keys);
  const { stack, kind, choices } = picture;
  const choice = (
    trait: "scale" | "reach" | "direction" | "combine",
    label: string,
    options: Record<string, string>,
    usual: string,
  ): JSX.Element => (
    <Choose
      label={label}
      value={model.trait(trait).value ?? usual}
      onChoose={(value) => model.write({ [trait]: value })}
      options={Object.entries(options)}
    />
  );
  return (
    <div class="explorer-toolbar">
      <Modes mode={mode} />
      {choices.length > 1 && (
        <Choose
          label={words.whichAttention}
          value={`${stack}/${kind}`}
          disabled={!model.connected.value}
          onChoose={(value) => {
            const [name = "", sort = "attn"] = value.split("/");
            props.onSelect({ stack: name === "" ? null : name, kind: sort, query: null, key: null, heads: [0] });
          }}
          options={choices.map((choice) => [
            `${choice.stack}/${choice.kind}`,
            [words.stacks[choice.stack] ?? choice.stack, words.kinds[choice.kind]].filter(Boolean).join(" · "),
          ])}
        />
      )}
      {picture.images > 1 && (picture.apart || mode === "pictures") && (
        <Choose
          label={words.whichImage}
          value={String(model.trait("image").value ?? 0)}
          disabled={!model.connected.value}
          onChoose={(value) => model.write({ image: Number(value) })}
          options={Array.from({ length: picture.images }, (_, image) => [String(image), words.image(image)])}
        />
      )}
      {several && ["matrix", "text", "pictures"].includes(mode) && choice("combine", words.together, words.combines, "mean")}
      {choice("scale", words.scale, words.scales, "linear")}
      {["matrix", "text"].includes(mode) && choice("reach", words.reach, words.reaches, "one")}
      {mode === "text" && choice("direction", words.direction, words.directions, "attends")}
      {mode === "matrix" && <Zoom {...{ region, full }} onLook={props.onLook} />}
    </div>
  );
}

/** Looks closer at a map, and further away. */
export function Zoom({ region, full, onLook }: { region: Region; full: Region; onLook: (to: Region) => void }): JSX.Element {
  const words = useWords(attentionWords);
  const zoom = (label: string, sign: string, factor: number, off: boolean): JSX.Element => (
    <button
      type="button"
      class="explorer-button"
      aria-label={label}
      title={label}
      disabled={off}
      onClick={() => onLook(zoomed(region, full, factor))}
    >
      {sign}
    </button>
  );
  return (
    <span class="explorer-zoom">
      {zoom(words.zoomOut, "−", STEP, isWhole(region, full))}
      {zoom(words.zoomIn, "+", 1 / STEP, region.rows <= 4 && region.cols <= 4)}
    </span>
  );
}

/** The views: arrows walk them, as everywhere where one of several is chosen. */
function Modes({ mode }: { mode: Mode }): JSX.Element | null {
  const model = useModel<State>();
  const words = useWords(attentionWords);
  if (MODES.length < 2) return null;
  const walk = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = MODES[(MODES.indexOf(mode) + step + MODES.length) % MODES.length] as Mode;
    model.write({ mode: next });
    (event.currentTarget as HTMLElement).querySelector<HTMLElement>(`[data-mode="${next}"]`)?.focus();
  };
  return (
    <div class="explorer-modes" role="radiogroup" aria-label={words.view} onKeyDown={walk}>
      {MODES.map((name) => (
        <button
          key={name}
          type="button"
          role="radio"
          class="explorer-button"
          data-mode={name}
          aria-checked={name === mode}
          tabIndex={name === mode ? 0 : -1}
          onClick={() => model.write({ mode: name })}
        >
          {words.modes[name]}
        </button>
      ))}
    </div>
  );
}

interface ChooseProps {
  label: string;
  value: string;
  options: readonly (readonly [value: string, words: ComponentChildren])[];
  disabled?: boolean;
  onChoose: (value: string) => void;
}

export function Choose({ label, value, options, disabled, onChoose }: ChooseProps): JSX.Element {
  return (
    <select
      class="explorer-select"
      aria-label={label}
      title={label}
      value={value}
      disabled={disabled}
      onChange={(event) => onChoose(event.currentTarget.value)}
    >
      {options.map(([name, said]) => (
        <option key={name} value={name} selected={name === value}>
          {said}
        </option>
      ))}
    </select>
  );
}
