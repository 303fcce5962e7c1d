/** A map of numbers that are no weights, with its table below. Its cells follow the zoom. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type { Mapped } from "./attention-cells";
import type { Coloring } from "./attention-colors";
import { finer } from "./attention-finer";
import { AttentionMap, type Meaning, type Said } from "./attention-map";
import { Questions } from "./attention-questions";
import { type Region, blockFor, whole } from "./attention-region";
import { type Combine, type HeadMap, type Selection, cellOf } from "./attention-state";
import { AttentionTable } from "./attention-table";
import { Tiles } from "./attention-tiles";
import { Choose } from "./attention-toolbar";
import { type Cell, type CommonState, type TableKind, attentionWords, blockOf, useModel, useSize, useWords } from "./shared";

/** A position of each side; a side that is left out is not chosen. */
export type Places = Partial<Pick<Selection, "query" | "key">>;

export interface PlaneProps {
  of: Mapped;
  looked: Looked;
  table: TableKind;
  /** The colour table's entry of each cell of the part that is looked at. */
  entries: Uint8Array;
  label: string;
  says: (map: HeadMap, cell: Cell) => Said;
  empty: (map: HeadMap, cell: Cell) => boolean;
  /** Whether the first token's column is shown in grey. */
  hideFirst?: boolean;
  chosen: Places;
  onChoose: (places: Places) => void;
}

/** The part of a map that is looked at, and all of it. */
export interface Looked {
  region: Region;
  full: Region;
  onLook: (to: Region) => void;
  /** The part in cells as fine as they are there; `null` before there is a map. */
  map: HeadMap | null;
  /** Why its cells are larger than they could be: finer ones are on their way, or nobody is there to ask. */
  late: "coming" | "kernel" | null;
}

/** What is looked at of a map; all of it, where its size changes. */
export function useLook(of: Mapped | null, hideFirst = false): Looked {
  const model = useModel<CommonState>();
  const looked = useSignal<{ region: Region; full: Region } | null>(null);
  const tiles = useMemo(() => new Tiles(new Questions(model)), [model]);
  const live = model.connected.value;
  const arrived = tiles.arrived.value;
  const full = whole(of?.sides.queries ?? 0, of?.sides.keys ?? 0);
  const now = looked.value;
  const region = now !== null && now.full.rows === full.rows && now.full.cols === full.cols ? now.region : full;
  const map = useMemo(() => {
    if (of === null) return null;
    const asked = { picture: of.request, hide_sink: hideFirst };
    return finer(of.all, of.seen, of.sides, region, asked, live ? tiles : null);
  }, [of, region.top, region.left, region.rows, region.cols, hideFirst, live, tiles, arrived]);
  const coarse = of !== null && map !== null && map !== of.all && map.block > blockFor(region, of.all.block);
  const late = coarse ? "kernel" : map?.exact === false ? "coming" : null;
  const onLook = (to: Region): void => {
    looked.value = { region: to, full };
  };
  return { region, full, onLook, map, late };
}

// What the map does not ask for where it is given its colours.
const UNUSED: Coloring = { scale: "linear", reach: "one", limit: 1 };

export function Plane(props: PlaneProps): JSX.Element {
  const { of, chosen, entries, says, empty, table, label } = props;
  const { region, onLook } = props.looked;
  const { all, sides } = of;
  const map = props.looked.map ?? all;
  const body = useRef<HTMLDivElement>(null);
  const size = useSize(body);
  const hover = useSignal<Partial<Cell>>({});
  const meaning = useMemo<Meaning>(() => {
    const wholeCell = ({ row, col }: Cell): Cell => ({
      row: blockOf(all.rowStart, map.rowStart[row] ?? 0),
      col: blockOf(all.colStart, map.colStart[col] ?? 0),
    });
    return {
      table,
      entries,
      label,
      // Until a cell's own number is there, it says what is known of the larger one around it.
      says: (cell) => (map.exact ? says(map, cell) : says(all, wholeCell(cell))),
      empty: (cell) => empty(map, cell),
    };
  }, [all, map, entries, says, empty, table, label]);
  const at = cellOf(map, chosen);
  const choose = ({ row, col }: Partial<Cell>): void => {
    if (row === at.row && col === at.col) props.onChoose({});
    else props.onChoose({ query: map.rowStart[row ?? -1] ?? null, key: map.colStart[col ?? -1] ?? null });
  };
  return (
    <div ref={body}>
      <AttentionMap
        picture={sides}
        all={all}
        map={map}
        rows={null}
        meaning={meaning}
        coloring={UNUSED}
        width={size.value.width}
        ratio={size.value.ratio}
        hover={hover}
        chosen={at}
        hideSink={props.hideFirst === true}
        region={region}
        onLook={onLook}
        onChoose={choose}
        onChooseRow={(row) => choose({ row })}
        onRelease={() => props.onChoose({})}
      />
      <AttentionTable map={map} picture={sides} chosen={at} meaning={meaning} />
    </div>
  );
}

/** What several heads are shown as; it is the attention panel's own setting. */
export function Together(): JSX.Element {
  const model = useModel<CommonState & { combine: Combine }>();
  const words = useWords(attentionWords);
  return (
    <Choose
      label={words.together}
      value={model.trait("combine").value ?? "mean"}
      disabled={!model.connected.value}
      onChoose={(value) => model.write({ combine: value as Combine })}
      options={Object.entries(words.combines)}
    />
  );
}
