// The question: why this token, and not that one. The likeliest next tokens to click, and a field to type another.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { AttributionPicture, AttributionWords, Choice, NextChoice, State } from "./attribution-picture";
import { formatProbability } from "./sampling-words";
import {
  attributionWords,
  sharedWords,
  tokenName,
  useDomId,
  useModel,
  useWords,
  visible,
  wellFormed,
} from "./shared";

type Role = "target" | "against";

/** What is asked now, a step ahead of the picture while that is being computed. */
export interface Asked {
  target: number;
  against: number | null;
}

export function Question({ picture, asked }: { picture: AttributionPicture; asked: Asked }): JSX.Element {
  const model = useModel<State>();
  const words = useWords(attributionWords);
  const role = useSignal<Role>("target");
  const titleId = useDomId();
  const choose = (id: number, as: Role): void => {
    if (as === "against") {
      // A token against itself is no question.
      if (id !== asked.target) model.write({ against: asked.against === id ? null : id });
      return;
    }
    const released = model.trait("target").peek() === id;
    // What had been typed, and the answer to it, go with the old question.
    model.write({
      target: released ? null : id,
      target_text: "",
      ...(asked.against === id ? { against: null } : {}),
    });
  };

  return (
    <div class="explorer-attribution-question">
      <div class="explorer-attribution-ask">
        <span id={titleId}>{words.likeliest}</span>
        <span class="explorer-attribution-roles" role="group" aria-label={words.whatClickAsks}>
          <span>{words.clickAsks}</span>
          {(["target", "against"] as const).map((key) => (
            <button
              key={key}
              type="button"
              class="explorer-button"
              aria-pressed={role.value === key}
              disabled={!model.connected.value}
              onClick={() => (role.value = key)}
            >
              {words.roles[key]}
            </button>
          ))}
        </span>
      </div>
      <div class="explorer-attribution-row">
        <Choices picture={picture} asked={asked} role={role.value} choose={choose} titleId={titleId} />
        <TypedTarget />
      </div>
    </div>
  );
}

interface ChoicesProps {
  picture: AttributionPicture;
  asked: Asked;
  role: Role;
  choose(id: number, as: Role): void;
  titleId: string;
}

/** The tokens as buttons in one row: arrows walk, Enter asks why, Shift with it asks "and not". */
function Choices({ picture, asked, role, choose, titleId }: ChoicesProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(attributionWords);
  const { listed: inOneLine, needsModel } = useWords(sharedWords);
  const row = useRef<HTMLDivElement>(null);
  const focused = useSignal<number | null>(null);
  const listed = withChosen(picture);
  const entry = listed.some(({ id }) => id === focused.value) ? focused.value : asked.target;
  const reachable = listed.some(({ id }) => id === entry) ? entry : listed[0]?.id;

  const onKeyDown = (event: KeyboardEvent): void => {
    const here = listed.findIndex(({ id }) => String(id) === (event.target as HTMLElement).dataset["id"]);
    if (here < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps: Record<string, number> = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: listed.length - 1 };
    const to = steps[event.key];
    if (to !== undefined) {
      const id = listed[Math.max(0, Math.min(listed.length - 1, to))]!.id;
      focused.value = id;
      row.current?.querySelector<HTMLElement>(`[data-id="${id}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      choose(listed[here]!.id, event.shiftKey ? "against" : role);
    } else if (event.key === "Escape") {
      // One step back at a time: the contrast first, then the target.
      if (asked.against !== null) model.write({ against: null });
      else if (model.trait("target").peek() !== null) model.write({ target: null, target_text: "" });
    } else return;
    event.preventDefault();
  };

  return (
    <div
      ref={row}
      class="explorer-attribution-choices"
      role="group"
      aria-labelledby={titleId}
      onKeyDown={onKeyDown}
    >
      {listed.map((choice) => (
        <button
          key={choice.id}
          type="button"
          data-id={choice.id}
          class={`explorer-button ${choice.id === asked.against ? "is-against" : ""}`}
          aria-pressed={choice.id === asked.target}
          aria-label={inOneLine(describe(choice, asked, words))}
          disabled={!model.connected.value}
          title={model.connected.value ? undefined : needsModel}
          tabIndex={choice.id === reachable ? 0 : -1}
          onFocus={() => (focused.value = choice.id)}
          onClick={(event) => choose(choice.id, event.shiftKey ? "against" : role)}
        >
          <bdi class={`explorer-text is-${/\s$/.test(choice.text) ? "blank" : choice.kind}`} dir="auto">
            {visible(choice.text)}
          </bdi>
          {" "}
          {choice.probability !== null && <small>{formatProbability(choice.probability)}</small>}
        </button>
      ))}
    </div>
  );
}

type Listed = Omit<NextChoice, "probability"> & { probability: number | null };

/** The likeliest, and behind them what was typed or set from Python. */
function withChosen({ next, target, against }: AttributionPicture): Listed[] {
  const others = [target, against].filter((c): c is Choice => c !== null && !next.some(({ id }) => id === c.id));
  return [...next, ...others.map((choice) => ({ ...choice, probability: null }))];
}

function describe(choice: Listed, asked: Asked, words: AttributionWords): string[] {
  const part =
    choice.id === asked.target ? words.explainedToken : choice.id === asked.against ? words.comparedWith : "";
  // What stands on the button comes first and as it stands there, for those who say a button's words to press it.
  const probability = choice.probability === null ? "" : ` ${formatProbability(choice.probability)}`;
  return [`${tokenName(choice)}${probability}`, part];
}

/** Any token of the vocabulary, typed. Python knows which texts are one token. */
function TypedTarget(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(attributionWords);
  const { needsModel } = useWords(sharedWords);
  const id = useDomId();
  const trait = model.trait("target_text");
  const error = String(model.trait("target_error").value ?? "");
  const draft = useSignal<string | null>(null);
  const ask = (): void => {
    const typed = wellFormed(draft.peek() ?? trait.peek());
    if (typed === "") return;
    draft.value = null;
    // The same text once more is a question too, after another token was clicked.
    if (typed === trait.peek()) model.write({ target_text: "" });
    model.write({ target_text: typed });
  };
  return (
    <>
      <input
        class="explorer-attribution-typed"
        type="text"
        dir="auto"
        autocomplete="off"
        spellcheck={false}
        maxLength={200}
        value={draft.value ?? String(trait.value ?? "")}
        placeholder={words.typeOne}
        aria-label={words.explainAnother}
        disabled={!model.connected.value}
        title={model.connected.value ? words.oneToken : needsModel}
        aria-invalid={error !== ""}
        aria-describedby={error === "" ? undefined : id}
        onInput={(event) => (draft.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.isComposing) ask();
          else if (event.key === "Escape") draft.value = null;
        }}
      />
      {error !== "" && (
        <p id={id} class="explorer-warning" role="alert">
          {error}
        </p>
      )}
    </>
  );
}
