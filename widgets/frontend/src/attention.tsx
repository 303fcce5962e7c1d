/** AttentionPanel: one head large, all heads below, the same selection as in Python. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { AttentionHeads } from "./attention-heads";
import { LIST_GAP, LIST_WIDTH, listBeside } from "./attention-layout";
import { AttentionMap, cellWords } from "./attention-map";
import { useAttention } from "./attention-shown";
import { type HeadMap, type Picture, type Selection, type State, cellOf } from "./attention-state";
import { AttentionTable } from "./attention-table";
import { AttentionWeights } from "./attention-weights";
import {
  type Cell,
  type KeyHelp,
  Legend,
  Panel,
  type Swatch,
  attentionWords,
  blockOf,
  mountPanel,
  swatch,
  tableOf,
  useModel,
  useSize,
  useWords,
  weightIndex,
} from "./shared";

const KEYS: readonly KeyHelp[] = [
  ["← →", "walk layers, keys or tokens"],
  ["↑ ↓", "walk heads or queries"],
  ["Home End", "go to the first or last"],
  ["Enter", "choose the cell or token"],
];

function AttentionPanel(): JSX.Element {
  const model = useModel<State>();
  const { picture, map, fault, share, selection, error } = useAttention();
  const { toWithin, notCarried } = useWords(attentionWords);
  const hover = useSignal<Partial<Cell>>({});
  const hideFirst = useSignal(false);
  const body = useRef<HTMLDivElement>(null);
  const size = useSize(body);

  const select = (changes: Partial<Selection>): void => {
    const heads = selection.heads?.length ? selection.heads : [map?.head ?? 0];
    const { query = null, key = null, stack = null, kind = "attn" } = selection;
    model.write({ selection: { layer: map?.layer ?? 0, heads, query, key, stack, kind, ...changes } });
  };
  const release = (): void => select({ query: null, key: null });
  const at: Partial<Cell> = map === null ? {} : cellOf(map, selection);
  const choose = (row: number, col: number): void => {
    if (at.row === row && at.col === col) release();
    else select({ query: map?.rowStart[row] ?? row, key: map?.colStart[col] ?? col });
  };
  const chooseRow = (row: number): void => {
    if (at.row === row && at.col === undefined) release();
    else select({ query: map?.rowStart[row] ?? row, key: null });
  };
  const elsewhere = model.trait("hover").value ?? null;
  const linked =
    map === null || elsewhere === null || elsewhere >= map.positions ? undefined : blockOf(map.rowStart, elsewhere);
  // Without a question the last token's is asked: it decides what comes next.
  const row = map === null ? 0 : Math.min(map.rows - 1, hover.value.row ?? linked ?? at.row ?? map.rows - 1);
  const col = hover.value.col ?? at.col;
  const hidden = hideFirst.value && share !== null;
  const ready = picture !== null && map !== null;

  void model.theme.revision.value; // another surface asks for other inks
  const surface = model.theme.surface();
  const colorOf = (index: number): Swatch | null => {
    if (map === null) return null;
    const cell = blockOf(map.colStart, index);
    if (hidden && cell === 0) return null;
    const entry = weightIndex(map.weights[row * map.cols + cell] ?? 0);
    return swatch(tableOf("weight", model.dark.value), entry, surface);
  };
  const inRow = (starts: number[] | undefined, cell: number): number[] => {
    const first = starts?.[cell];
    if (first === undefined || picture === null) return [];
    const last = starts?.[cell + 1] ?? picture.positions;
    return Array.from({ length: last - first }, (_, offset) => first + offset);
  };
  const asides = asideWords(picture, map, selection, hidden ? share : null);
  if (error !== null) asides.push(toWithin(error.toFixed(4)));
  const beside = map !== null && listBeside(map.rows, map.cols, size.value.width);

  return (
    <Panel
      name="attention"
      title="Attention"
      subtitle={map === null ? "" : `layer ${map.layer} · head ${map.head}`}
      actions={
        share !== null && (
          <button
            type="button"
            class="explorer-button"
            aria-pressed={hideFirst.value}
            title="Heads with nothing to do attend to the first token; hiding its column shows the rest. Weights stay as they are."
            onClick={() => (hideFirst.value = !hideFirst.value)}
          >
            hide first token
          </button>
        )
      }
      tokens={picture?.tokens ?? []}
      strip={{
        colorOf,
        active: map?.block === 1 ? row : null,
        selected: [
          ...(at.row === undefined ? [] : inRow(map?.rowStart, at.row)),
          ...(at.col === undefined ? [] : inRow(map?.colStart, at.col)),
        ],
        describe: (index) =>
          map === null
            ? ""
            : cellWords(map, picture?.tokens ?? [], { row, col: blockOf(map.colStart, index) }).weight,
        onHover: (index) => {
          const cell = index === null || map === null ? null : blockOf(map.rowStart, index);
          hover.value = cell === null ? {} : { row: cell };
        },
        onClick: (index) => map !== null && chooseRow(blockOf(map.rowStart, index)),
        onRelease: release,
      }}
      fault={fault}
      ready={ready}
      keys={KEYS}
      legend={<Legend table="weight" low="0" high="1" />}
      aside={
        <>
          {asides.join(" · ")}
          {map !== null && !map.exact && typeof selection.layer === "number" && (
            <span class="is-late">
              {asides.length > 0 && " · "}
              {model.saved === null ? "from the thumbnail; exact weights are being computed" : notCarried}
            </span>
          )}
        </>
      }
    >
      <div ref={body} class={`explorer-body${beside ? " is-beside" : ""}`}>
        {ready && (
          <>
            <div class="explorer-large">
              <AttentionMap
                map={map}
                tokens={picture.tokens}
                width={beside ? size.value.width - LIST_WIDTH - LIST_GAP : size.value.width}
                ratio={size.value.ratio}
                hover={hover}
                chosen={at}
                hideFirst={hidden}
                onChoose={(cell) => choose(cell.row, cell.col)}
                onChooseRow={chooseRow}
                onRelease={release}
              />
              <AttentionWeights
                map={map}
                tokens={picture.tokens}
                row={row}
                col={col}
                hideFirst={hidden}
                shown={beside ? 10 : 5}
                onHover={(key) => {
                  hover.value = key === null ? {} : { row, col: key };
                }}
                onChoose={(key) => choose(row, key)}
              />
            </div>
            <AttentionTable map={map} tokens={picture.tokens} chosen={at} />
            <h3 class="explorer-caption">
              Heads <span>{headCount(picture)}</span>
            </h3>
            <AttentionHeads
              picture={picture}
              width={size.value.width}
              ratio={size.value.ratio}
              layer={map.layer}
              heads={selection.heads?.length ? selection.heads : [map.head]}
              hideFirst={hidden}
              onChoose={(layer, index) => select({ layer, heads: [index] })}
              onRelease={release}
            />
          </>
        )}
      </div>
      <p class="explorer-hidden" aria-live="polite">
        {ready ? announcement(map, picture, at) : ""}
      </p>
    </Panel>
  );
}

function headCount(picture: Picture): string {
  const uneven = new Set(picture.headsPerLayer).size > 1;
  return `${picture.layers} layers × ${uneven ? "up to " : ""}${picture.heads} heads`;
}

/** What is chosen, for people who listen. */
function announcement(map: HeadMap, picture: Picture, at: Partial<Cell>): string {
  const head = `Layer ${map.layer}, head ${map.head}`;
  if (at.row === undefined || at.col === undefined) return head;
  const { pair, weight } = cellWords(map, picture.tokens, { row: at.row, col: at.col });
  return `${head}: ${pair} ${weight}`;
}

/** What is hidden, pooled, sampled or still to come, each in a few words. */
function asideWords(
  picture: Picture | null,
  map: HeadMap | null,
  selection: Partial<Selection>,
  hiddenShare: number | null,
): string[] {
  if (picture === null || map === null) return [];
  const words: string[] = [];
  if (hiddenShare !== null) words.push(`first token hidden: ${Math.round(hiddenShare * 100)} % of the mass`);
  if (typeof selection.layer !== "number") words.push("no head is chosen: click one for its exact weights");
  else if (map.exact && map.block > 1)
    words.push(`each cell is the largest of ${map.block} × ${map.block} weights`);
  if (picture.sampled !== null) {
    words.push(`thumbnails: sampled ${picture.sampled} of ${picture.positions} rows, exactly computed`);
  }
  return words;
}

export default mountPanel(AttentionPanel);
