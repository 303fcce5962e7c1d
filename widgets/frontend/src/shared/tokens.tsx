/** Text as a row of tokens, as the person typed it. */

import { useSignal } from "@preact/signals";
import { Component, type ComponentChildren, Fragment, type JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { type Chip, blankMarks, chips, tokenName } from "./chips";
import type { Swatch } from "./colors";
import { useModel, useTooltip } from "./scope";
import type { CommonState, WireToken } from "./wire";
import { type Words, sharedWords, useWords } from "./words";

export interface TokenStripProps {
  tokens: readonly WireToken[];
  /** What the row is, for people who cannot see it: "tokens of the prompt". */
  label: string;
  /** The colours of the token at an index; `null` leaves it plain. */
  colorOf?: ((index: number) => Swatch | null) | undefined;
  /** The token in question, in the accent colour. */
  active?: number | null | undefined;
  /** Tokens a click has chosen. */
  selected?: readonly number[] | undefined;
  /** Whether these are the positions of the prompt, which light up in all panels at once. */
  linked?: boolean | undefined;
  /** Tokens that something was found in. */
  found?: readonly number[] | undefined;
  /** Called with the token under the pointer or the keyboard's focus, and with `null` when it is left. */
  onHover?: ((index: number | null) => void) | undefined;
  /** Called on click, Enter and Space. Without it the row can be walked, and nothing can be chosen. */
  onClick?: ((index: number) => void) | undefined;
  /** Called on Escape. */
  onRelease?: (() => void) | undefined;
  /** What the tooltip says about a token; without it, its position and id. */
  tip?: ((index: number) => ComponentChildren) | undefined;
  /** The same in words, for the token's accessible name: "0.81". */
  describe?: ((index: number) => string) | undefined;
}

// A row of this many is a few screens long; drawing more than a reader can look at makes typing slow.
const SHOWN_AT_FIRST = 600;

const signs: Readonly<Record<number, string>> = { [-1]: " is-minus", 1: " is-plus" };

function indexOf(event: Event): number | null {
  const piece = (event.target as Element | null)?.closest?.("[data-index]");
  return piece ? Number(piece.getAttribute("data-index")) : null;
}

/** Whether the first letter that has a direction belongs to a script that is written from right to left. */
export function readsLeftwards(tokens: readonly WireToken[]): boolean {
  for (const { text, kind } of tokens) {
    const letter = kind === "text" ? /\p{L}/u.exec(text) : null;
    if (letter) return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/u.test(letter[0]);
  }
  return false;
}

/** The tokens as chips: hover looks, click chooses, arrows walk, Home and End jump, Escape lets go. */
export function TokenStrip(props: TokenStripProps): JSX.Element {
  const { tokens, label, linked, onHover, onClick, onRelease, tip } = props;
  const model = useModel<CommonState>();
  const words = useWords(sharedWords);
  const hovered = linked ? (model.trait("hover").value ?? null) : null;
  const tooltip = useTooltip();
  const row = useRef<HTMLDivElement>(null);
  const rtl = useMemo(() => readsLeftwards(tokens), [tokens]);
  const focused = useSignal(0);
  const unfolded = useSignal(false);
  const all = useMemo(() => chips(tokens), [tokens]);
  const first = unfolded.value ? all : all.slice(0, SHOWN_AT_FIRST);
  const seen = first.map(({ text, kind, indices }) => [text, kind, indices.map((at) => [at, tokens[at]?.id, tokens[at]?.role])]);
  const shown = useMemo(() => first, [seen.join()]); // the same list as before where it shows the same
  const last = (shown[shown.length - 1]?.indices ?? [0]).slice(-1)[0] ?? 0;
  const entry = Math.min(focused.value, last);

  // Nothing to be compared where a long text grows behind what is shown of it: what looks at each token is not asked.
  const asked = props.colorOf ?? props.describe ?? props.selected ?? props.found;
  const active = props.active != null && props.active <= last ? props.active : null;
  const pieces = useMemo(
    () =>
      shown.map((chip, index) => (
        <Fragment key={chip.indices[0]}>
          <Role of={tokens[chip.indices[0]!]} after={tokens[(shown[index - 1]?.indices ?? [-1])[0]!]} />
          <ChipView
            chip={chip}
            strip={props}
            words={words}
            hovered={hovered}
            entry={chip.indices.includes(entry) ? entry : null}
          />
        </Fragment>
      )),
    [asked === undefined ? shown : props, words, hovered, entry, active, onClick],
  );

  const look = (index: number | null, element: Element | null): void => {
    onHover?.(index);
    if (linked) model.hover(index);
    if (index !== null && element)
      tooltip.showAt(element, tip ? tip(index) : <Facts tokens={tokens} index={index} />);
    else tooltip.hide();
  };
  const pieceOf = (event: Event): Element | null => (event.target as Element).closest("[data-index]");
  const leave = (event: PointerEvent | FocusEvent): void => {
    const to = event.relatedTarget as Node | null;
    if (to === null || !row.current?.contains(to)) look(null, null);
  };
  const walk = (event: KeyboardEvent): void => {
    const here = indexOf(event);
    if (here === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const forward = rtl ? -1 : 1;
    const steps: Record<string, number> = {
      ArrowRight: here + forward,
      ArrowLeft: here - forward,
      Home: 0,
      End: last,
    };
    const target = steps[event.key];
    if (target !== undefined) {
      focused.value = Math.max(0, Math.min(last, target));
      row.current?.querySelector<HTMLElement>(`[data-index="${focused.value}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      onClick?.(here);
    } else if (event.key === "Escape") {
      onRelease?.();
    } else {
      return;
    }
    event.preventDefault();
  };

  return (
    <div class="explorer-strip">
      <div
        ref={row}
        class="explorer-tokens"
        dir={rtl ? "rtl" : "ltr"}
        role={onClick ? "listbox" : "list"}
        aria-label={label}
        aria-multiselectable={onClick ? "true" : undefined}
        onPointerOver={(event) => look(indexOf(event), pieceOf(event))}
        onPointerOut={leave}
        onFocusIn={(event) => {
          focused.value = indexOf(event) ?? focused.peek();
          look(indexOf(event), pieceOf(event));
        }}
        onFocusOut={leave}
        onClick={(event) => {
          const index = indexOf(event);
          if (index !== null) onClick?.(index);
        }}
        onKeyDown={walk}
      >
        {pieces}
      </div>
      {shown.length < all.length && (
        <button type="button" class="explorer-link" onClick={() => (unfolded.value = true)}>
          {words.showAll(tokens.length)}
        </button>
      )}
    </div>
  );
}

/** What a role is called; one of a template's own by the name it has there. */
export function roleName(role: string | undefined, { roles }: Pick<Words<typeof sharedWords>, "roles">): string {
  return Object.entries(roles).find(([known]) => known === role)?.[1] ?? role ?? "";
}

/** Who begins to speak at a token of a conversation. */
export function Role({ of: token, after }: { of: WireToken | undefined; after: WireToken | undefined }): JSX.Element | null {
  const words = useWords(sharedWords);
  if (!token?.role || token.role === "template" || token.role === after?.role) return null;
  return <span class="explorer-role">{roleName(token.role, words)}</span>;
}

/** What there is to say about any token; all ids of a character in pieces. */
function Facts({ tokens, index }: { tokens: readonly WireToken[]; index: number }): JSX.Element | null {
  const words = useWords(sharedWords);
  const token = tokens[index];
  if (token === undefined) return null;
  return (
    <>
      <bdi>{tokenName(token)}</bdi>
      <span class="explorer-facts">
        {words.position(index)} · {words.id(token.id)}
      </span>
    </>
  );
}

export interface ChipProps {
  chip: Chip;
  strip: Omit<TokenStripProps, "label">;
  words: Words<typeof sharedWords>;
  /** The position that is looked at in any panel. */
  hovered: number | null;
  /** The piece of this chip that Tab reaches, if any. */
  entry: number | null;
}

const marksOf = ({ active, selected, found }: ChipProps["strip"], index: number): string =>
  `${index === active ? " is-active" : ""}${selected?.includes(index) ? " is-selected" : ""}${found?.includes(index) ? " is-found" : ""}`;

/** What of the strip a chip shows; equal strings need no new drawing. */
function looks({ chip, strip, words, hovered, entry }: ChipProps): string {
  const parts = chip.indices.map((index) => {
    const swatch = strip.colorOf?.(index);
    const marks = `${marksOf(strip, index)}${index === hovered}${strip.describe?.(index) ?? ""}`;
    return `${swatch?.background ?? ""}${swatch?.ink ?? ""}${swatch?.sign}${marks}${strip.tokens[index]?.id}`;
  });
  return `${words.language}|${chip.text}|${chip.kind}|${entry}|${strip.onClick !== undefined}|${parts.join("|")}`;
}

export class ChipView extends Component<ChipProps> {
  // Kept from the last drawing: the functions in the old properties may answer differently by now.
  #drawn = looks(this.props);

  override shouldComponentUpdate(next: ChipProps): boolean {
    const before = this.#drawn;
    this.#drawn = looks(next);
    return this.#drawn !== before;
  }

  override render(props: ChipProps): JSX.Element {
    const { chip, strip, words, hovered, entry } = props;
    const whole = chip.indices.length === 1;
    const piece = (index: number, inner: ComponentChildren, kind: string): JSX.Element => {
      const swatch = strip.colorOf?.(index);
      const token = strip.tokens[index];
      const selected = strip.selected?.includes(index) ?? false;
      const marks = `${marksOf(strip, index)}${index === hovered ? " is-hovered" : ""}`;
      const name = [words.token(index), token ? tokenName(token) : "", strip.describe?.(index) ?? ""];
      return (
        <span
          key={index}
          class={`${kind}${marks}${signs[swatch?.sign ?? 0] ?? ""}`}
          data-index={index}
          role={strip.onClick ? "option" : "listitem"}
          aria-selected={strip.onClick ? selected : undefined}
          aria-label={words.listed(name)}
          tabIndex={index === entry ? 0 : -1}
          style={swatch ? { background: swatch.background, color: swatch.ink ?? undefined } : undefined}
        >
          {inner}
        </span>
      );
    };
    const marks = blankMarks(chip.text);
    const text = (
      <bdi
        class={marks === null ? "explorer-text" : "explorer-text is-space"}
        dir="auto"
        lang=""
        data-marks={marks ?? undefined}
      >
        {chip.text}
      </bdi>
    );
    // Of a character in pieces the mark says which one is meant: the piece in question, else the first.
    const marked = chip.indices.find((index) => index === strip.active) ?? chip.indices[0] ?? 0;
    const token = strip.tokens[marked];
    const mark =
      token && token.parts > 1 ? <small class="explorer-part">{`${token.part}/${token.parts}`}</small> : null;
    if (whole) return piece(marked, [text, mark], `explorer-chip is-${chip.kind}`);
    const inks = new Set(chip.indices.map((index) => strip.colorOf?.(index)?.ink ?? null));
    const mixedInk = inks.size > 1 ? " is-mixed" : "";
    return (
      <span
        class={`explorer-chip is-${chip.kind} is-pieces${mixedInk}`}
        role="presentation"
        style={mixedInk === "" ? { color: [...inks][0] ?? undefined } : undefined}
      >
        <span class="explorer-pieces" role="presentation">
          {chip.indices.map((index) => piece(index, null, "explorer-piece"))}
        </span>
        {text}
        {mark}
      </span>
    );
  }
}
