/** The prompt: a plain text field, so that every input method and screen reader works. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { useDomId, useModel } from "./scope";
import { EchoRule, wellFormed } from "./text";
import type { CommonState } from "./wire";
import { type Words, sharedWords, useWords } from "./words";

/**
 * Texts longer than this stay in the browser. No model of today reads more, and a message of ten megabytes would close
 * Jupyter's connection to the kernel.
 */
const LONGEST = 1_500_000;

/** Grows with its text where the browser cannot do that by itself. */
function grow(field: HTMLTextAreaElement): void {
  if (globalThis.CSS?.supports?.("field-sizing", "content")) return;
  field.style.height = "auto";
  if (field.scrollHeight > 0) field.style.height = `${field.scrollHeight + 2}px`;
}

export interface PromptProps {
  /** Which text is typed: the prompt, or the decoder's text of an encoder-decoder. */
  of?: "text" | "decoder";
}

export function Prompt({ of = "text" }: PromptProps): JSX.Element {
  const model = useModel<CommonState>();
  const field = useRef<HTMLTextAreaElement>(null);
  const rule = useRef(new EchoRule());
  const focused = useRef(false);
  const composing = useRef(false);
  const words = useWords(sharedWords);
  const note = useSignal<((said: Words<typeof sharedWords>) => string) | null>(null);
  const id = useDomId();
  const text = model.trait(of);
  const [label, placeholder] = of === "text" ? [words.prompt, words.typePrompt] : [words.decoder, words.typeDecoder];

  const show = (arrived: string): void => {
    const element = field.current;
    // Touching the field's value in the middle of a composition would break the input method.
    if (element === null || composing.current || element.value === arrived) return;
    if (!rule.current.accepts(arrived, focused.current)) return;
    element.value = arrived;
    rule.current.enter(arrived);
    grow(element);
  };
  useLayoutEffect(() => {
    if (field.current) grow(field.current);
  }, []);
  useEffect(() => text.subscribe((arrived) => show(String(arrived ?? ""))), [text]);

  const typed = (): void => {
    const element = field.current;
    if (element === null) return;
    grow(element);
    const whole = wellFormed(element.value);
    if (whole.length > LONGEST) {
      note.value = (said) => said.tooLong(whole.length, LONGEST);
      return;
    }
    note.value = whole === element.value ? null : (said) => said.halfCharacter;
    if (whole === text.peek()) return;
    rule.current.send(whole);
    model.write({ [of]: whole });
  };

  return (
    <div class="explorer-prompt">
      <label class={of === "text" ? "explorer-hidden" : undefined} for={id}>
        {label}
      </label>
      <textarea
        ref={field}
        id={id}
        rows={1}
        dir="auto"
        lang=""
        spellcheck={false}
        readOnly={!model.connected.value}
        title={model.connected.value ? undefined : words.needsModel}
        autocomplete="off"
        placeholder={placeholder}
        defaultValue={String(text.peek() ?? "")}
        onInput={typed}
        onCompositionStart={() => (composing.current = true)}
        onCompositionEnd={() => {
          composing.current = false;
          typed();
        }}
        onFocus={() => {
          focused.current = true;
          rule.current.enter(wellFormed(field.current?.value ?? ""));
        }}
        onBlur={() => {
          focused.current = false;
          composing.current = false;
          // What Python set meanwhile and was held back is shown now, unless the person's own text is too long to send.
          if (note.peek() === null) show(String(text.peek() ?? ""));
        }}
      />
      {note.value !== null && (
        <p class="explorer-warning" role="status">
          {note.value(words)}
        </p>
      )}
    </div>
  );
}
