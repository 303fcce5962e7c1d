/** Where heads' thumbnails lie: by layer, or one after the other in an order. Pure functions. */

import { layoutHeads, layoutOrdered } from "./attention-layout";
import type { Picture } from "./attention-state";
import type { Cell, Lattice } from "./shared";

export type Place = readonly [layer: number, head: number];

export interface Places {
  lattice: Lattice;
  width: number;
  height: number;
  /** Pixels at the end of each cell for the head's name. */
  named: number;
  heads: readonly Place[];
  cellOf: (layer: number, head: number) => Cell | null;
  /** The head in a cell, `null` where there is none. */
  headAt: (cell: Cell) => Place | null;
  /** The head that a step to a cell leads to: a layer may have fewer heads than its neighbour, or none at all. */
  nearest: (cell: Cell) => Place | null;
}

/** Layers from left to right, heads from top to bottom. */
export function byLayer(picture: Picture, width: number, ratio: number): Places {
  const headAt = ({ row, col }: Cell): Place | null => (row < (picture.headsPerLayer[col] ?? 0) ? [col, row] : null);
  return {
    ...layoutHeads(picture.layers, picture.heads, width, ratio),
    named: 0,
    heads: picture.headsPerLayer.flatMap((count, layer) => Array.from({ length: count }, (_, head) => [layer, head] as const)),
    cellOf: (layer, head) => ({ row: head, col: layer }),
    headAt,
    nearest: ({ row, col }) => headAt({ row: Math.min(row, (picture.headsPerLayer[col] ?? 0) - 1), col }),
  };
}

/** In rows from left to right, as they are listed. */
export function inOrder(heads: readonly Place[], width: number, ratio: number): Places {
  const layout = layoutOrdered(heads.length, width, ratio);
  const { cols } = layout.lattice;
  return {
    ...layout,
    heads,
    cellOf: (layer, head) => {
      const at = heads.findIndex((place) => place[0] === layer && place[1] === head);
      return at < 0 ? null : { row: Math.floor(at / cols), col: at % cols };
    },
    headAt: ({ row, col }) => heads[row * cols + col] ?? null,
    nearest: ({ row, col }) => heads[Math.min(row * cols + col, heads.length - 1)] ?? null,
  };
}
