/** The tokens as running text, of which the blocks in sight are drawn: hover looks, click chooses, arrows walk. */

import { useSignal } from "@preact/signals";
import { Component, type ComponentChildren, Fragment, type JSX, createRef } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { type TextBlock, blocksOf, endsLine } from "./attention-text-blocks";
import {
  ChipView,
  type CommonState,
  Role,
  type Swatch,
  type WireToken,
  chips,
  readsLeftwards,
  sharedWords,
  useModel,
  useTooltip,
  useWords,
} from "./shared";

/** What the tokens look like now; another object where anything of it changed. */
export interface Paint {
  colorOf: (index: number) => Swatch | null;
  /** The weight in words. */
  describe: (index: number) => string;
}

export interface TextTokensProps {
  tokens: readonly WireToken[];
  label: string;
  paint: Paint;
  /** Whether these are the positions of the prompt, which light up in all panels at once. */
  linked: boolean;
  /** The token that is asked about, where it is one of these. */
  active: number | null;
  chosen: number | null;
  /** What was found, as [first, last] token; and which of them is shown. */
  found: readonly [number, number][];
  current: readonly [number, number] | null;
  /** How high a line is, in CSS pixels. */
  line: number;
  tip: (index: number) => ComponentChildren;
  onChoose: (index: number) => void;
  onRelease: () => void;
}

// Blocks are drawn this far, in CSS pixels, before they are scrolled to.
const AHEAD = 100;
// Rough widths of a character, for the height of blocks that were never drawn.
const CHARACTER = 7.6;
const MOST_HEIGHT = 420;

const pieceAt = (event: Event): HTMLElement | null => (event.target as Element).closest<HTMLElement>("[data-index]");
const indexOf = (piece: HTMLElement | null): number | null => (piece === null ? null : Number(piece.dataset["index"]));

export function TextTokens(props: TextTokensProps): JSX.Element {
  const { tokens, paint, linked, active, chosen, found, current, line } = props;
  const model = useModel<CommonState>();
  const words = useWords(sharedWords);
  const tooltip = useTooltip();
  const room = useRef<HTMLDivElement>(null);
  const focused = useSignal(0);
  const goes = useRef(false); // whether the focus is on its way to that token
  const hovered = linked ? (model.trait("hover").value ?? null) : null;
  const rtl = useMemo(() => readsLeftwards(tokens), [tokens]);
  const blocks = useMemo(() => blocksOf(chips(tokens)), [tokens]);
  const foundIn = useMemo(() => blocks.map((block) => within(found, block)), [blocks, found]);
  const sight = useMemo(() => new Sight(), []);
  useEffect(() => () => sight.end(), [sight]);
  const last = tokens.length - 1;
  const entry = Math.min(focused.value, last);

  const pieceOf = (index: number): HTMLElement | null => room.current!.querySelector(`[data-index="${index}"]`);
  useLayoutEffect(() => {
    if (!goes.current) return;
    goes.current = false;
    pieceOf(focused.peek())?.focus();
  });
  // Another text is read from its beginning.
  useLayoutEffect(() => {
    focused.value = 0;
  }, [tokens]);
  useLayoutEffect(() => {
    if (current === null) return;
    focused.value = current[0];
    show(room.current!, pieceOf(current[0]));
  }, [current]);

  const look = (piece: HTMLElement | null, at?: { y: number }): void => {
    const index = indexOf(piece);
    if (linked) model.hover(index);
    if (piece === null || index === null) tooltip.hide();
    else tooltip.showAt(boxAt(piece, at), props.tip(index));
  };
  const leave = (event: PointerEvent | FocusEvent): void => {
    if (!room.current?.contains(event.relatedTarget as Node | null)) look(null);
  };
  const walk = (event: KeyboardEvent): void => {
    const here = indexOf(pieceAt(event));
    if (here === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const forward = rtl ? -1 : 1;
    const page = Math.max(1, Math.floor(room.current!.clientHeight / line) - 1);
    const steps: Record<string, () => number> = {
      ArrowRight: () => here + forward,
      ArrowLeft: () => here - forward,
      ArrowDown: () => lineFrom(here, 1, pieceOf),
      ArrowUp: () => lineFrom(here, -1, pieceOf),
      PageDown: () => lineFrom(here, page, pieceOf),
      PageUp: () => lineFrom(here, -page, pieceOf),
      Home: () => 0,
      End: () => last,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      focused.value = Math.max(0, Math.min(last, step()));
      goes.current = true;
      if (focused.value === here) pieceOf(here)?.focus();
    } else if (event.key === "Enter" || event.key === " ") props.onChoose(here);
    else if (event.key === "Escape") props.onRelease();
    else return;
    event.preventDefault();
  };
  return (
    <div
      ref={room}
      class={`explorer-text-room explorer-tokens${blocks.length > 1 ? " is-long" : ""}`}
      dir={rtl ? "rtl" : "ltr"}
      role="listbox"
      aria-label={props.label}
      style={{ lineHeight: `${line}px`, maxHeight: `${MOST_HEIGHT}px` }}
      onPointerOver={(event) => look(pieceAt(event), { y: event.clientY })}
      onPointerOut={leave}
      onFocusIn={(event) => {
        focused.value = indexOf(pieceAt(event)) ?? focused.peek();
        look(pieceAt(event));
      }}
      onFocusOut={leave}
      onClick={(event) => {
        const index = indexOf(pieceAt(event));
        if (index !== null) props.onChoose(index);
      }}
      onKeyDown={walk}
    >
      {blocks.map((block, number) => {
        const here = (index: number | null | undefined): number | null =>
          index != null && index >= block.first && index <= block.last ? index : null;
        return (
          <Block
            key={block.first}
            {...{ tokens, block, paint, sight, words, line }}
            entry={here(entry)}
            hovered={here(hovered)}
            active={here(active)}
            chosen={here(chosen)}
            current={here(current?.[0])}
            found={foundIn[number]!}
          />
        );
      })}
    </div>
  );
}

/** The tokens of a block in which something was found. */
function within(found: readonly [number, number][], { first, last }: TextBlock): number[] {
  const inside: number[] = [];
  for (const [from, to] of found)
    for (let index = Math.max(from, first); index <= Math.min(to, last); index++) inside.push(index);
  return inside;
}

/** Scrolls a token to the middle of the room, unless it is in sight there, and the room to where it can be seen. */
function show(room: HTMLElement, piece: HTMLElement | null): void {
  if (piece === null) return;
  const [outer, inner] = [room.getBoundingClientRect(), piece.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom) room.scrollTop += inner.top - outer.top - room.clientHeight / 2;
  piece.scrollIntoView({ block: "nearest" });
}

/** The part of a token's box that the pointer is in: a token that begins at a line's end goes on in the next. */
function boxAt(piece: HTMLElement, at: { y: number } | undefined): DOMRect {
  const boxes = [...piece.getClientRects()];
  return boxes.find(({ top, bottom }) => at === undefined || (at.y >= top && at.y <= bottom)) ?? piece.getBoundingClientRect();
}

/** The token so many lines further down, or up, that stands nearest to under `from`. */
function lineFrom(from: number, lines: number, pieceOf: (index: number) => HTMLElement | null): number {
  const boxOf = (index: number): DOMRect | null => pieceOf(index)?.getBoundingClientRect() ?? null;
  const start = boxOf(from);
  if (start === null) return from;
  const middle = (box: DOMRect): number => (box.left + box.right) / 2;
  const wanted = middle(start);
  const step = Math.sign(lines);
  let [best, nearest, passed, edge] = [from, Infinity, 0, start.bottom];
  for (let index = from + step; ; index += step) {
    const box = boxOf(index);
    if (box === null) return best;
    if (Math.abs(box.bottom - edge) > 8) {
      if (passed === Math.abs(lines)) return best;
      [passed, edge, nearest] = [passed + 1, box.bottom, Infinity];
    }
    if (passed === 0) continue;
    const distance = Math.abs(middle(box) - wanted);
    if (distance < nearest) [best, nearest] = [index, distance];
  }
}

/** Which blocks are in sight of the room that they scroll in, or nearly. */
class Sight {
  readonly #tell = new Map<Element, (near: boolean) => void>();
  #observer: IntersectionObserver | null = null;

  watch(block: Element, tell: (near: boolean) => void): void {
    this.#tell.set(block, tell);
    this.#observer ??= new IntersectionObserver(
      (seen) => {
        for (const { target, isIntersecting } of seen) this.#tell.get(target)?.(isIntersecting);
      },
      { root: block.parentElement, rootMargin: `${AHEAD}px 0px` },
    );
    this.#observer.observe(block);
  }

  leave(block: Element): void {
    this.#tell.delete(block);
    this.#observer?.unobserve(block);
  }

  end(): void {
    this.#observer?.disconnect();
  }
}

interface BlockProps {
  tokens: readonly WireToken[];
  block: TextBlock;
  paint: Paint;
  sight: Sight;
  words: ReturnType<typeof useWords<(typeof sharedWords)["en"]>>;
  line: number;
  entry: number | null;
  hovered: number | null;
  active: number | null;
  chosen: number | null;
  current: number | null;
  found: readonly number[];
}

/**
 * Some of the text. Out of sight it is plain text, or looks as it did when it went out of sight: colouring thousands of
 * tokens that nobody sees would hold up every click.
 */
class Block extends Component<BlockProps, { near: boolean }> {
  override state = { near: false };
  readonly #place = createRef<HTMLDivElement>();
  #drawn: BlockProps | null = null;

  override componentDidMount(): void {
    this.props.sight.watch(this.#place.current!, (near) => this.setState({ near }));
  }

  override componentWillUnmount(): void {
    this.props.sight.leave(this.#place.current!);
  }

  #needed(props: BlockProps, near: boolean): boolean {
    return near || props.entry !== null || props.active !== null || props.current !== null;
  }

  override shouldComponentUpdate(next: BlockProps, { near }: { near: boolean }): boolean {
    if (!this.#needed(next, near)) return false;
    const drawn = this.#drawn as Record<string, unknown> | null;
    return drawn === null || Object.entries(next).some(([name, value]) => drawn[name] !== value);
  }

  override render(props: BlockProps, { near }: { near: boolean }): JSX.Element {
    const { tokens, block, paint, words, line } = props;
    const length = block.chips.reduce((sum, chip) => sum + chip.text.length, 0);
    const plain = this.#drawn === null && !this.#needed(props, near);
    if (!plain) this.#drawn = props;
    const strip = {
      ...{ tokens, active: props.active, colorOf: paint.colorOf, describe: paint.describe, found: props.found },
      selected: [props.chosen, props.current].filter((index) => index !== null),
      onClick: () => undefined,
    };
    return (
      <div
        ref={this.#place}
        class="explorer-text-block"
        data-first={block.first}
        role="presentation"
        style={{ containIntrinsicBlockSize: `auto ${Math.ceil((length * CHARACTER) / 600) * line}px` }}
      >
        {plain
          ? block.chips.map((chip, at) => <Fragment key={chip.indices[0]}>{chip.text}{endsLine(chip, block.chips[at + 1]) && <br />}</Fragment>)
          : block.chips.map((chip, at) => {
              const [first] = chip.indices as [number];
              return (
                <Fragment key={first}>
                  <Role of={tokens[first]} after={tokens[first - 1]} />
                  <ChipView
                    {...{ chip, strip, words, hovered: props.hovered }}
                    entry={chip.indices.includes(props.entry ?? -1) ? props.entry : null}
                  />
                  {endsLine(chip, block.chips[at + 1]) && <br />}
                </Fragment>
              );
            })}
      </div>
    );
  }
}
