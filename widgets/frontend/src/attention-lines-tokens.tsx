/** One column of tokens: only the rows in sight are in the page, and arrows walk all of them. */

import { useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { headColor } from "./attention-lines-drawing";
import { type LinesPicture, type Place, type Row, type Side, sees } from "./attention-lines-picture";
import {
  type WireToken,
  type Words,
  blankMarks,
  linesWords,
  sharedWords,
  tokenName,
  useDomId,
  useModel,
  useWords,
  visible,
} from "./shared";

/** From one token to the next, in CSS pixels. */
export const ROW = 22;
// Rows beyond the edges that are there before they are scrolled to.
const BEYOND = 6;
// Of more heads the numbers would leave the lines no room: bars stand for them, and the pair's numbers below.
const MOST_NUMBERS = 4;

/** How wide the numbers beside a token are, in CSS pixels. */
export function valuesWidth(heads: number): number {
  return 4 + heads * (heads <= MOST_NUMBERS ? 38 : 10);
}

export interface TokenColumnProps {
  picture: LinesPicture;
  side: Side;
  /** Whose lines are drawn, and the token of the other column that is looked at beside it. */
  place: Place | null;
  mate: number | null;
  row: Row | null;
  shown: readonly boolean[];
  hideFirst: boolean;
  threshold: number;
  pinned: Place | null;
  /** What is chosen on this side. */
  chosen: number | null;
  top: number;
  height: number;
  onPoint: (index: number | null) => void;
  onChoose: (index: number) => void;
  onRelease: () => void;
  /** Scrolls a token into sight. */
  onShow: (index: number) => void;
}

/** A weight in words: what is not there is said to be below what is. */
export function weightWords(weight: number | null, picture: LinesPicture, words: Words<typeof linesWords>): string {
  if (weight === null) return words.below(String(Number(picture.floor.toPrecision(2))));
  if (!Number.isFinite(weight)) return words.notANumber;
  return weight > 0 && weight < 0.0005 ? weight.toExponential(1) : weight.toFixed(3);
}

export function TokenColumn(props: TokenColumnProps): JSX.Element {
  const { picture, side, place, mate, row, shown, hideFirst, top, height } = props;
  const words = useWords(linesWords);
  const { token: tokenAt, listed } = useWords(sharedWords);
  const focused = useSignal(0);
  const active = useSignal(false);
  const id = useDomId();
  const tokens = picture.tokens[side];
  const last = tokens.length - 1;
  const entry = Math.min(focused.value, last);
  const first = Math.max(0, Math.floor(top / ROW) - BEYOND);
  const end = Math.min(tokens.length, Math.ceil((top + height) / ROW) + BEYOND);
  const inSight = Array.from({ length: Math.max(0, end - first) }, (_, offset) => first + offset);
  const rows = inSight.includes(entry) ? inSight : [...inSight, entry];
  // The token itself on its own side, and its weights on the other.
  const answers = place !== null && place.side !== side && row !== null;
  const seen = (index: number): boolean =>
    place === null || (side === "key" ? sees(picture, place.index, index) : sees(picture, index, place.index));
  const said = (index: number): string => {
    if (!answers || row === null) return "";
    if (!seen(index)) return words.hidden;
    return listed(
      picture.heads.map((head, at) => (shown[at] ? words.of(head, weightWords(row.weights[at]?.[index] ?? null, picture, words)) : "")),
    );
  };
  const go = (index: number): void => {
    focused.value = Math.max(0, Math.min(last, index));
    props.onShow(focused.value);
    props.onPoint(focused.value);
  };
  const walk = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.floor(height / ROW);
    const here = Math.min(focused.peek(), last); // keys can come faster than drawings
    const steps: Record<string, number> = {
      ...{ ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + page, PageUp: here - page },
      ...{ Home: 0, End: last },
    };
    const target = steps[event.key];
    if (target !== undefined) go(target);
    else if (event.key === "Enter" || event.key === " ") props.onChoose(here);
    else if (event.key === "Escape") props.onRelease();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const columns = [...(event.currentTarget as HTMLElement).parentElement!.querySelectorAll<HTMLElement>("[role=listbox]")];
      columns[event.key === "ArrowLeft" ? 0 : 1]?.focus();
    } else return;
    event.preventDefault();
  };
  const indexAt = (event: Event): number | null => {
    const found = (event.target as Element).closest<HTMLElement>("[data-index]");
    return found === null ? null : Number(found.dataset["index"]);
  };
  return (
    <div
      class={`explorer-lines-column is-${side}`}
      role="listbox"
      aria-label={words[side]}
      aria-activedescendant={`${id}-${entry}`}
      tabIndex={0}
      onPointerMove={(event) => {
        const index = indexAt(event);
        if (index !== null && index !== focused.value) focused.value = index;
        props.onPoint(index);
      }}
      onPointerLeave={() => props.onPoint(null)}
      onFocus={(event) => {
        // A click focuses too, and points already.
        active.value = true;
        if (event.currentTarget.matches(":focus-visible")) go(props.chosen ?? entry);
      }}
      onBlur={() => {
        active.value = false;
        props.onPoint(null);
      }}
      onClick={(event) => {
        const index = indexAt(event);
        if (index !== null) props.onChoose(index);
      }}
      onKeyDown={walk}
    >
      {rows.map((index) => {
        const token = tokens[index] as WireToken;
        const own = place?.side === side && place.index === index;
        const marks = [
          "explorer-lines-token",
          own ? "is-active" : "",
          props.chosen === index ? "is-chosen" : "",
          answers && mate === index ? "is-mate" : "",
          active.value && index === entry ? "is-at" : "",
          (answers && !seen(index)) || (hideFirst && side === "key" && index === 0) ? "is-muted" : "",
        ];
        return (
          <div
            key={index}
            id={`${id}-${index}`}
            class={marks.filter(Boolean).join(" ")}
            style={{ top: `${index * ROW}px`, height: `${ROW}px` }}
            data-index={index}
            role="option"
            aria-selected={props.chosen === index}
            aria-setsize={tokens.length}
            aria-posinset={index + 1}
            aria-label={listed([tokenAt(index), tokenName(token), said(index)])}
          >
            <TokenText token={token} />
            {answers && seen(index) && <Values {...props} row={row} index={index} />}
          </div>
        );
      })}
    </div>
  );
}

function TokenText({ token }: { token: WireToken }): JSX.Element {
  const marks = blankMarks(token.text);
  return (
    <span class={`explorer-lines-text is-${token.kind}`} title={tokenName(token)}>
      <bdi class={marks === null ? "explorer-text" : "explorer-text is-space"} dir="auto" lang="" data-marks={marks ?? undefined}>
        {visible(token.text)}
      </bdi>
      {token.parts > 1 && <small class="explorer-part">{`${token.part}/${token.parts}`}</small>}
    </span>
  );
}

/** What each head gives a token of the other column: numbers, or bars where there are many heads. */
function Values(props: TokenColumnProps & { row: Row; index: number }): JSX.Element {
  const { picture, side, place, row, index, shown, threshold, hideFirst } = props;
  const { dark } = useModel();
  const hidden = hideFirst && (side === "key" ? index : place?.index) === 0;
  const heads = picture.heads.map((_, at) => at).filter((at) => shown[at]);
  const numbers = heads.length <= MOST_NUMBERS;
  return (
    <span class={`explorer-lines-values${numbers ? "" : " is-bars"}`} aria-hidden="true">
      {heads.map((at) => {
        const weight = row.weights[at]?.[index] ?? null;
        const strong = weight !== null && !hidden && !(weight < threshold);
        const color = headColor(at, dark.value);
        if (numbers) {
          return (
            <span key={at} class={strong ? "is-strong" : undefined} style={strong ? { borderColor: color } : undefined}>
              {brief(weight)}
            </span>
          );
        }
        const broken = weight !== null && !Number.isFinite(weight);
        const style = { "--x-part": hidden ? 0 : broken ? 1 : (weight ?? 0), "--x-head": color } as CSSProperties;
        return <i key={at} class={broken ? "is-broken" : undefined} style={style} />;
      })}
    </span>
  );
}

/** A weight in the room of four digits. */
function brief(weight: number | null): string {
  if (weight === null) return "·";
  if (!Number.isFinite(weight)) return "NaN";
  if (weight === 0) return "0";
  return weight < 0.0005 ? "<.001" : weight.toFixed(3).replace(/^0/, "");
}
