/** A map of numbers that are no weights, with its table below. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { cut } from "./attention-cells";
import type { Coloring } from "./attention-colors";
import { AttentionMap, type Meaning, type Said } from "./attention-map";
import { type Region, isWhole, whole } from "./attention-region";
import type { HeadMap, Sides } from "./attention-state";
import { AttentionTable } from "./attention-table";
import { type Cell, type TableKind, useSize } from "./shared";

export interface PlaneProps {
  sides: Sides;
  /** The whole map; its cells are what the functions below are asked about. */
  all: HeadMap;
  table: TableKind;
  /** The colour table's entry of each cell. */
  entries: Uint8Array;
  label: string;
  says: (cell: Cell) => Said;
  empty: (cell: Cell) => boolean;
  /** Whether the first token's column is shown in grey. */
  hideFirst?: boolean;
  chosen: Partial<Cell>;
  /** A cell was chosen, or with its column alone left out, a row. */
  onChoose: (cell: Partial<Cell>) => void;
  looked: Looked;
}

/** The part of a map that is looked at, and all of it. */
export interface Looked {
  region: Region;
  full: Region;
  onLook: (to: Region) => void;
}

/** What is looked at of so many positions; all, where their number changes. */
export function useLook(queries: number, keys: number): Looked {
  const looked = useSignal<{ region: Region; full: Region } | null>(null);
  const full = whole(queries, keys);
  const now = looked.value;
  const region = now !== null && now.full.rows === full.rows && now.full.cols === full.cols ? now.region : full;
  const onLook = (to: Region): void => {
    looked.value = { region: to, full };
  };
  return { region, full, onLook };
}

// What the map does not ask for where it is given its colours.
const UNUSED: Coloring = { scale: "linear", reach: "one", limit: 1 };

export function Plane(props: PlaneProps): JSX.Element {
  const { sides, all, chosen, entries, says, empty, table, label } = props;
  const body = useRef<HTMLDivElement>(null);
  const size = useSize(body);
  const hover = useSignal<Partial<Cell>>({});
  const { region, full, onLook } = props.looked;
  const { map, meaning, wholeCell, partCell } = useMemo(() => {
    const seen = isWhole(region, full) ? { map: all, wholeCell: (cell: Cell) => cell } : cut(all, sides, region);
    const { map, wholeCell } = seen;
    const top = wholeCell({ row: 0, col: 0 });
    const part = new Uint8Array(map.rows * map.cols);
    for (let row = 0; row < map.rows; row++) {
      const from = (top.row + row) * all.cols + top.col;
      part.set(entries.subarray(from, from + map.cols), row * map.cols);
    }
    const meaning: Meaning = {
      table,
      entries: part,
      label,
      says: (cell) => says(wholeCell(cell)),
      empty: (cell) => empty(wholeCell(cell)),
    };
    const partCell = ({ row, col }: Partial<Cell>): Partial<Cell> => ({
      ...(row !== undefined && row >= top.row && row < top.row + map.rows ? { row: row - top.row } : {}),
      ...(col !== undefined && col >= top.col && col < top.col + map.cols ? { col: col - top.col } : {}),
    });
    return { map, meaning, wholeCell, partCell };
  }, [all, sides, region.top, region.left, region.rows, region.cols, entries, says, empty, table, label]);
  const same = (cell: Partial<Cell>): boolean => cell.row === chosen.row && cell.col === chosen.col;
  const choose = (cell: Partial<Cell>): void => props.onChoose(same(cell) ? {} : cell);
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
        chosen={partCell(chosen)}
        hideSink={props.hideFirst === true}
        region={region}
        onLook={onLook}
        onChoose={(cell) => choose(wholeCell(cell))}
        onChooseRow={(row) => choose({ row: wholeCell({ row, col: 0 }).row })}
        onRelease={() => props.onChoose({})}
      />
      <AttentionTable map={map} picture={sides} chosen={partCell(chosen)} meaning={meaning} />
    </div>
  );
}
