// A number that looks like text until it is edited. What cannot be read is answered by a sentence, and the last
// good value stays in force.

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Parsed } from "./sampling-settings";
import { useDomId } from "./shared";

export interface NumberFieldProps<T> {
  /** For a label outside. */
  id?: string;
  /** For people who cannot see where the field stands; not where a label outside says it. */
  label?: string;
  /** The value in words, shown while nobody edits: "off". */
  shown: string;
  /** The value as one would type it. */
  typed: string;
  parse(text: string): Parsed<T>;
  onCommit(value: T): void;
  /** What arrow up (+1) and down (-1) do; absent where they do nothing. */
  onStep?: ((direction: 1 | -1) => void) | undefined;
  placeholder?: string;
  disabled?: boolean;
}

/** A text field for one number: Enter takes it, Escape gives the old one back, arrows step. */
export function NumberField<T>(props: NumberFieldProps<T>): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const draft = useSignal<string | null>(null);
  // What was typed and could not be read; its sentence is made when it is shown, in the language of then.
  const unread = useSignal<string | null>(null);
  const problemId = useDomId();
  const value = useSignal(props.typed);
  if (value.peek() !== props.typed) value.value = props.typed;
  // A value that came from elsewhere answers whatever was being typed.
  const current = useComputed(() => value.value);
  useSignalEffect(() => {
    void current.value;
    draft.value = null;
    unread.value = null;
  });
  const parsed = unread.value === null ? null : props.parse(unread.value);
  const problem = parsed !== null && "problem" in parsed ? parsed.problem : "";

  const commit = (): void => {
    if (draft.peek() === null) return;
    const parsed = props.parse(draft.peek()!);
    if ("problem" in parsed) {
      unread.value = draft.peek();
      return;
    }
    draft.value = null;
    unread.value = null;
    props.onCommit(parsed.value);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Enter") commit();
    else if (event.key === "Escape") {
      draft.value = null;
      unread.value = null;
    } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && props.onStep) {
      commit();
      props.onStep(event.key === "ArrowUp" ? 1 : -1);
    } else return;
    event.preventDefault();
  };

  return (
    <>
      <input
        ref={field}
        id={props.id}
        class="explorer-sampling-number"
        type="text"
        inputMode="decimal"
        autocomplete="off"
        spellcheck={false}
        aria-label={props.label}
        aria-invalid={problem !== ""}
        aria-describedby={problem === "" ? undefined : problemId}
        placeholder={props.placeholder}
        disabled={props.disabled}
        value={draft.value ?? props.shown}
        onFocus={() => {
          draft.value ??= props.typed;
          // After the draft has replaced the words, so that typing replaces all of it. To select is to focus: whoever
          // went on within the frame must not be called back.
          requestAnimationFrame(() => field.current?.matches(":focus") && field.current.select());
        }}
        onInput={(event) => (draft.value = event.currentTarget.value)}
        onBlur={() => {
          if (draft.peek() === props.typed) draft.value = null;
          else commit();
        }}
        onKeyDown={onKeyDown}
      />
      {problem !== "" && (
        <p id={problemId} class="explorer-warning explorer-sampling-problem" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}
