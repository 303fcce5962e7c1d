/** The text itself, coloured by what one token attends to or is attended to by: the view for long texts. */

import { useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type { Carried } from "./attention-carried";
import { DECADES, entryOf, weightText } from "./attention-colors";
import type { Combine, Direction, Reach, Scale, Selection } from "./attention-state";
import {
  type Line,
  type Side,
  type TextPicture,
  type WireLine,
  carriedLine,
  findTokens,
  hiddenAt,
  isWanted,
  joined,
  limitOf,
  other,
  readLine,
  readText,
  wantedOf,
} from "./attention-text-picture";
import { type Paint, TextTokens } from "./attention-text-tokens";
import {
  type Column,
  type CommonState,
  type Fault,
  Legend,
  NumberTable,
  Panel,
  type Swatch,
  TokenStrip,
  cssColor,
  faultOf,
  mountPanel,
  swatch,
  tableOf,
  textWords,
  tokenName,
  useAround,
  useModel,
  usePicture,
  useWords,
  wordsOf,
} from "./shared";

interface State extends CommonState {
  selection: Partial<Selection>;
  line: Partial<WireLine>;
  stacked: boolean;
}

const LINE = 30;

/** How the weights become colours, as the panel around says. */
function useColoring(): { scale: Scale; reach: Reach; combine: Combine; hideFirst: boolean } {
  return {
    scale: useAround<Scale>("scale", "linear"),
    reach: useAround<Reach>("reach", "one"),
    combine: useAround<Combine>("combine", "mean"),
    hideFirst: useAround("hide_sink", false),
  };
}

function TextPanel(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(textWords);
  const { picture, fault } = usePicture(readText as never).value as { picture: TextPicture | null; fault: Fault | null };
  const coloring = useColoring();
  const attends = useAround<Direction>("direction", "attends") !== "attended";
  const carried = useAround<Carried | null>("carried", null);
  const stacked = model.trait("stacked").value === true;
  const selection = model.trait("selection").value ?? {};
  const arrived = model.trait("line").value;
  const known = useRef<Line | null>(null);
  const wanted = picture === null ? null : wantedOf(picture, selection, attends, stacked);
  const { line, broken } = useMemo((): { line: Line | null; broken: Fault | null } => {
    if (picture === null || wanted === null) return { line: null, broken: null };
    try {
      const own = readLine(arrived, picture);
      const line = isWanted(own, wanted) ? own : carriedLine(carried, picture, wanted);
      return { line, broken: null };
    } catch (error) {
      return { line: null, broken: faultOf(error, wordsOf(model, textWords).notRead) };
    }
  }, [picture, arrived, carried, JSON.stringify(wanted)]);
  // Until the weights arrive those before stay, dimmed, where they are of as many tokens.
  if (line !== null) known.current = line;
  const before = known.current;
  const fits = wanted !== null && before?.side === wanted.side && before.positions === picture?.tokens[other(wanted.side)].length;
  const shown = line ?? (fits ? before : null);
  const several = stacked ? "each" : coloring.combine;
  const drawn = useMemo(() => {
    if (shown === null) return null;
    const together = joined(shown.weights, shown.heads.length, several === "max");
    const weights = several === "each" ? shown.weights : together;
    const heads = shown.heads.length > 1 || several === "each" ? several : "each";
    return { together, limit: limitOf(shown, weights, { ...coloring, heads }) };
  }, [shown, several, coloring.reach, coloring.hideFirst]);
  return (
    <Panel
      name="text-view"
      title={words.title}
      tokens={picture?.prompt ?? []}
      ready={picture !== null}
      fault={fault ?? broken}
      keys={words.keys}
      legend={drawn === null ? undefined : <Legend {...ends(drawn.limit, coloring.scale)} table="weight" />}
      aside={stacked && shown !== null ? words.stripes(shown.heads.length - 1) : undefined}
    >
      {picture !== null && wanted !== null && (
        <Drawn
          {...{ picture, coloring, selection, stacked, line: shown, waiting: line === null, side: wanted.side }}
          index={wanted.index}
          together={drawn?.together ?? null}
          limit={drawn?.limit ?? 1}
        />
      )}
    </Panel>
  );
}

/** What the ends of the colours mean. */
function ends(limit: number, scale: Scale): { low: string; high: string } {
  const number = (value: number): string => String(Number(value.toPrecision(2)));
  return { low: scale === "log" ? `≤ ${number(limit / 10 ** DECADES)}` : "0", high: number(limit) };
}

interface DrawnProps {
  picture: TextPicture;
  coloring: ReturnType<typeof useColoring>;
  selection: Partial<Selection>;
  stacked: boolean;
  /** What is drawn; `waiting` where it is of another token still, which lasts too short to draw all tokens for it. */
  line: Line | null;
  waiting: boolean;
  side: Side;
  index: number;
  together: Float32Array | null;
  limit: number;
}

function Drawn(props: DrawnProps): JSX.Element {
  const { picture, coloring, selection, stacked, line, waiting, side, index, together, limit } = props;
  const model = useModel<State>();
  const words = useWords(textWords);
  const dark = model.dark.value;
  const revision = model.theme.revision.value; // another surface asks for other inks
  const tokens = picture.tokens[other(side)];
  const others = picture.tokens[side];
  const wantedText = useSignal("");
  const turn = useSignal(0);
  const field = useRef<HTMLInputElement>(null);
  const found = useMemo(() => findTokens(tokens, wantedText.value), [tokens, wantedText.value]);
  const at = turn.value % Math.max(1, found.length);

  const paint = useMemo<Paint>(() => {
    const table = tableOf("weight", dark);
    const surface = model.theme.surface();
    const seen = (position: number): boolean => line !== null && line.visible[position] === 1;
    const known: Swatch[] = []; // of each entry of the table, as many tokens have the same
    return {
      colorOf: (position): Swatch | null => {
        if (line === null || together === null || !seen(position)) return null;
        if (coloring.hideFirst && hiddenAt(line, position)) return null;
        const entry = entryOf(together[position] ?? 0, limit, coloring.scale);
        if (!stacked) return (known[entry] ??= swatch(table, entry, surface));
        const size = 100 / line.heads.length;
        const stripes = line.heads.map((_, head) => {
          const weight = line.weights[head * line.positions + position] ?? 0;
          return `${cssColor(table, entryOf(weight, limit, coloring.scale))} ${head * size}% ${(head + 1) * size}%`;
        });
        return { background: `linear-gradient(${stripes}) bottom / 100% var(--x-stripes) no-repeat`, ink: null };
      },
      describe: (position): string => {
        if (line === null || together === null) return "…";
        if (!seen(position)) return words.notSeen;
        if (!stacked) return weightText(together[position] ?? NaN, true, words.notANumber);
        const [head, weight] = strongest(line, position);
        return words.most(head, weightText(weight, true, words.notANumber));
      },
    };
  }, [line, together, limit, stacked, coloring.scale, coloring.hideFirst, dark, revision, words]);

  const select = (changes: Partial<Selection>): void => {
    const { layer = null, heads = null, query = null, key = null, stack = null, kind = "attn" } = selection;
    model.write({ selection: { layer, heads, query, key, stack, kind, ...changes } });
  };
  const release = (): void => select({ query: null, key: null });
  const ask = (position: number): void => select({ query: null, key: null, [side]: position });
  const choose = (position: number): void => {
    if (picture.same) ask(position);
    else select({ [side]: index, [other(side)]: position });
  };
  const next = (step: number): void => {
    if (found.length > 0) turn.value = (at + step + found.length) % found.length;
  };
  const here = others[index];
  const tip = (position: number): JSX.Element => (
    <>
      <bdi>{tokens[position] === undefined ? "" : tokenName(tokens[position])}</bdi>
      {stacked && line !== null && line.visible[position] === 1 && !waiting ? (
        <span class="explorer-text-heads">
          {line.heads.map((head) => (
            <span key={head}>
              {words.head(head)} <b class="explorer-value">{weightText(line.weights[head * line.positions + position] ?? NaN, true, words.notANumber)}</b>
            </span>
          ))}
        </span>
      ) : (
        <b class="explorer-value">{waiting ? "…" : paint.describe(position)}</b>
      )}
    </>
  );
  const stripes = (line?.heads.length ?? 1) * ((line?.heads.length ?? 1) > 16 ? 2 : 3);
  return (
    <section
      onKeyDown={(event) => {
        if (event.key !== "/" || event.target === field.current) return;
        event.preventDefault();
        field.current?.focus();
      }}
    >
      <div class="explorer-toolbar">
        <span>
          {(side === "query" ? words.attendsTo : words.attendedBy)(<bdi>{here === undefined ? "" : tokenName(here)}</bdi>)}
        </span>
        <button type="button" class="explorer-button" aria-pressed={stacked} onClick={() => model.write({ stacked: !stacked })}>
          {words.stacked(picture.headsPerLayer[selection.layer ?? 0] ?? 0)}
        </button>
        <span class="explorer-zoom">
          <input
            ref={field}
            type="search"
            class="explorer-field explorer-find"
            placeholder={words.find}
            aria-label={words.find}
            value={wantedText.value}
            onInput={(event) => {
              wantedText.value = event.currentTarget.value;
              turn.value = 0;
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter") next(event.shiftKey ? -1 : 1);
            }}
          />
          <span role="status" class="explorer-text-found">
            {wantedText.value !== "" && (found.length > 0 ? `${at + 1} / ${found.length}` : words.notFound)}
          </span>
          <Step sign="‹" label={words.earlier} off={found.length < 2} onStep={() => next(-1)} />
          <Step sign="›" label={words.later} off={found.length < 2} onStep={() => next(1)} />
        </span>
      </div>
      {!picture.same && (
        <TokenStrip
          tokens={others}
          label={words[side]}
          linked={others === picture.prompt}
          active={index}
          onClick={ask}
          onRelease={release}
        />
      )}
      <div
        class={`explorer-text-body${stacked ? " is-stacked" : ""}${waiting ? " is-waiting" : ""}`}
        aria-busy={waiting}
        style={{ "--x-stripes": `${stripes}px` } as CSSProperties}
      >
        <TextTokens
          {...{ tokens, paint, tip, found }}
          label={words.title}
          linked={tokens === picture.prompt}
          active={picture.same ? index : null}
          chosen={picture.same ? null : (selection[other(side)] ?? null)}
          current={found[at] ?? null}
          line={stacked ? LINE + stripes : LINE}
          onChoose={choose}
          onRelease={release}
        />
      </div>
      {line !== null && together !== null && <Numbers {...{ picture, line, together }} several={stacked ? "each" : coloring.combine} />}
    </section>
  );
}

/** The head that gives a position most, and what it gives. */
function strongest({ heads, weights, positions }: Line, position: number): [head: number, weight: number] {
  let best = 0;
  for (let head = 1; head < heads.length; head++)
    if (weights[head * positions + position]! > weights[best * positions + position]!) best = head;
  return [heads[best]!, weights[best * positions + position] ?? NaN];
}

function Step(props: { sign: string; label: string; off: boolean; onStep: () => void }): JSX.Element {
  const { sign, label, off, onStep } = props;
  return (
    <button type="button" class="explorer-button" aria-label={label} title={label} aria-disabled={off} onClick={onStep}>
      {sign}
    </button>
  );
}

interface NumbersProps {
  picture: TextPicture;
  line: Line;
  together: Float32Array;
  several: "each" | Combine;
}

/** The weights as a table: of every head that is drawn, and what several heads are together. */
function Numbers({ picture, line, together, several }: NumbersProps): JSX.Element {
  const words = useWords(textWords);
  const tokens = picture.tokens[other(line.side)];
  const number = (weight: number | undefined, row: number): string =>
    line.visible[row] === 1 ? weightText(weight ?? NaN, true, words.notANumber) : words.notSeen;
  const [lead, columns] = useMemo((): [Column[], Column[]] => {
    const name: Column = {
      head: words[other(line.side)],
      cell: (row) => (
        <>
          {row} <bdi>{tokenName(tokens[row]!)}</bdi>
        </>
      ),
      kind: "head",
    };
    const each = line.heads.map<Column>((head, at) => ({
      head: words.head(head),
      cell: (row) => number(line.weights[at * line.positions + row], row),
    }));
    const all: Column[] =
      line.heads.length > 1 && several !== "each"
        ? [{ head: words.together[several], cell: (row) => number(together[row], row) }]
        : [];
    return [[name, ...all], each];
  }, [line, together, several, words]);
  return (
    <NumberTable
      summary={words.asTable(line.positions)}
      caption={words.title}
      lead={lead}
      columns={columns}
      rows={line.positions}
      at={{ row: picture.same ? line.index : 0 }}
    />
  );
}

export default mountPanel(TextPanel);
