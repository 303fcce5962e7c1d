/** The frame of every panel: title and status, prompt and its tokens, the picture, the legend, errors. */

import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { FaultCard } from "./fault";
import { useKeptFocus } from "./focus";
import { type KeyHelp, KeyList } from "./keys";
import { Prompt } from "./prompt";
import { useDomId, useModel, useTooltip } from "./scope";
import { StatusLine, StatusWords, StopButton } from "./status";
import { TokenStrip, type TokenStripProps } from "./tokens";
import { Tooltip } from "./tooltip";
import type { CommonState, Fault, WireToken } from "./wire";
import { inWords } from "./said";
import { noteWords, sharedWords, useWords } from "./words";

export interface PanelProps {
  /** The panel's name in class lists: "attention" gives `explorer-attention`. */
  name: string;
  /** What it is called, unless the user called it something else. */
  title: string;
  /** Muted words beside the title: "layer 24 · head 4". */
  subtitle?: ComponentChildren;
  /** Buttons at the right of the title. */
  actions?: ComponentChildren;
  /** The tokens of the newest readable picture; they mirror the prompt. */
  tokens: readonly WireToken[];
  /** How the prompt's tokens look and what they do; see {@link TokenStrip}. */
  strip?: Partial<Omit<TokenStripProps, "tokens">>;
  /** The same of the decoder's text, where there is one and the picture shows it. */
  decoder?: { tokens: readonly WireToken[]; strip?: PanelProps["strip"] };
  /** More lines beside the view's own notes. */
  notes?: readonly string[];
  /** What could not be read in the browser; the kernel's own errors are shown without being told. */
  fault?: Fault | null;
  /** Whether there is a picture. Without one, a quiet skeleton or the error takes its place. */
  ready: boolean;
  /** The keys the panel's own parts listen to, for the list that `?` shows. */
  keys?: readonly KeyHelp[];
  /** The footer's left: a {@link Legend}. */
  legend?: ComponentChildren;
  /** The footer's right: what is hidden, cut or sampled. */
  aside?: ComponentChildren;
  children: ComponentChildren;
}

function isField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable=true]");
}

/** The frame. Everything that is drawn stands inside; the picture goes in as children. */
export function Panel(props: PanelProps): JSX.Element {
  const model = useModel<CommonState>();
  const words = useWords(sharedWords);
  const wordings = useWords(noteWords);
  const tooltip = useTooltip();
  const root = useRef<HTMLElement>(null);
  useKeptFocus(root);
  const help = useSignal(false);
  const inside = model.trait("inside").value === true ? " is-inside" : "";
  const embedded = model.trait("embedded").value === true;
  const helpId = useDomId();
  const titleId = useDomId();
  // Of the status the error alone: with each word of it the whole picture would be drawn anew.
  const failed = useComputed(() => {
    const { state, error } = model.trait("status").value ?? {};
    return state === "error" ? (error ?? { message: "", detail: "" }) : null;
  }).value;
  const view = model.trait("view").value ?? {};
  const fault = failed === null ? (props.fault ?? null) : { ...failed, message: failed.message || words.noReason };
  const told = Array.isArray(view.notes) ? view.notes.map((note) => inWords(note, wordings)) : [];
  const notes = [...told, ...(props.notes ?? [])];

  // The same element as before where nothing about it changed: hundreds of tokens need not be compared at each move.
  const strip = useMemo(
    () => <TokenStrip label={words.promptTokens} linked {...props.strip} tokens={props.tokens} />,
    [words, props.strip, props.tokens],
  );
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "?" && !isField(event.target)) {
      help.value = !help.value;
      event.preventDefault();
    } else if (event.key === "Escape") {
      help.value = false;
      tooltip.hide();
    }
    // Notebook commands listen further out: "x" must not cut the cell while a panel has the focus.
    event.stopPropagation();
  };

  // To the notebook, a click with Shift means all cells from the active one to here; here it means something else.
  const onMouseDown = (event: MouseEvent): void => {
    if (event.shiftKey) event.stopPropagation();
  };

  return (
    <section
      ref={root}
      tabIndex={-1}
      class={`explorer-panel explorer-${props.name}${inside}`}
      data-theme={model.dark.value ? "dark" : "light"}
      lang={words.language}
      data-lm-suppress-shortcuts="true"
      aria-labelledby={titleId}
      onKeyDown={onKeyDown}
      onMouseDown={onMouseDown}
    >
      <header class="explorer-header">
        <h2 id={titleId} class="explorer-title">
          {model.trait("title").value || props.title}
        </h2>
        <span class="explorer-subtitle">{props.subtitle}</span>
        <span class="explorer-actions">
          {props.actions}
          <StatusWords broken={fault !== null} />
          <StopButton />
          <button
            type="button"
            class="explorer-button explorer-help"
            aria-label={words.keys}
            aria-expanded={help.value}
            aria-controls={help.value ? helpId : undefined}
            onClick={() => (help.value = !help.value)}
          >
            ?
          </button>
        </span>
      </header>
      <StatusLine />
      {help.value && <KeyList id={helpId} keys={props.keys ?? []} />}
      {!embedded && <Prompt />}
      {!embedded && props.tokens.length > 0 && (
        <div class={fault ? "is-dimmed" : undefined}>
          {strip}
        </div>
      )}
      {!embedded && typeof model.trait("decoder").value === "string" && <Prompt of="decoder" />}
      {!embedded && (props.decoder?.tokens.length ?? 0) > 0 && (
        <div class={fault ? "is-dimmed" : undefined}>
          <TokenStrip label={words.decoderTokens} {...props.decoder!.strip} tokens={props.decoder!.tokens} />
        </div>
      )}
      {!embedded &&
        notes.map((note) => (
          <p key={note} class="explorer-note">
            {note}
          </p>
        ))}
      <div class="explorer-stage">
        {props.ready ? (
          <div class={fault ? "explorer-picture is-dimmed" : "explorer-picture"}>{props.children}</div>
        ) : (
          fault === null && <Skeleton />
        )}
        {fault !== null && <FaultCard fault={fault} />}
      </div>
      {props.ready && (props.legend || props.aside) ? (
        <footer class="explorer-footer">
          {props.legend}
          <span class="explorer-aside">{props.aside}</span>
        </footer>
      ) : null}
      <Tooltip />
    </section>
  );
}

function Skeleton(): JSX.Element {
  const words = useWords(sharedWords);
  return (
    <div class="explorer-skeleton" role="status">
      <div aria-hidden="true" />
      <p>{words.states.waiting}</p>
    </div>
  );
}
