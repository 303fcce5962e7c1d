/** Where things lie in a map: pure functions, in CSS pixels. */

/** Rows and columns of equal cells whose first one begins at `left`, `top`. */
export interface Lattice {
  left: number;
  top: number;
  rows: number;
  cols: number;
  /** From one cell to the next. */
  pitchX: number;
  pitchY: number;
  /** Empty pixels at the end of each cell, part of the pitch. */
  gap: number;
}

export interface Cell {
  row: number;
  col: number;
}

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The cell at a point, gaps included, or `null` beside the map. */
export function cellAt(lattice: Lattice, x: number, y: number): Cell | null {
  const col = Math.floor((x - lattice.left) / lattice.pitchX);
  const row = Math.floor((y - lattice.top) / lattice.pitchY);
  const inside = col >= 0 && row >= 0 && col < lattice.cols && row < lattice.rows;
  return inside ? { row, col } : null;
}

/** The box of a cell without its gap. */
export function boxOf(lattice: Lattice, { row, col }: Cell): Box {
  return {
    left: lattice.left + col * lattice.pitchX,
    top: lattice.top + row * lattice.pitchY,
    width: lattice.pitchX - lattice.gap,
    height: lattice.pitchY - lattice.gap,
  };
}

/** The largest size of at most `size` CSS pixels that is a whole number of device pixels; never nothing. */
export function snapped(size: number, ratio: number): number {
  const device = Math.floor(size * ratio + 1e-6);
  return device >= 1 ? device / ratio : size;
}

/** Every how-manieth label fits when each needs `needed` pixels and cells follow each other every `pitch`. */
export function labelStep(pitch: number, needed: number): number {
  for (let scale = 1; scale <= 1_000_000; scale *= 10) {
    for (const step of [scale, 2 * scale, 5 * scale]) {
      if (step * pitch >= needed) return step;
    }
  }
  return 1_000_000;
}

/** Which of `starts` is the block that holds `position`; -1 before the first. */
export function blockOf(starts: readonly number[], position: number): number {
  let low = -1;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((starts[middle] as number) <= position) low = middle;
    else high = middle;
  }
  return low;
}

/** The cell that an arrow key, Home or End leads to, or `null` for another key. It stops at the edges. */
export function walked(key: string, { row, col }: Cell, rows: number, cols: number): Cell | null {
  const steps: Record<string, Cell> = {
    ArrowUp: { row: row - 1, col },
    ArrowDown: { row: row + 1, col },
    ArrowLeft: { row, col: col - 1 },
    ArrowRight: { row, col: col + 1 },
    Home: { row, col: 0 },
    End: { row, col: cols - 1 },
    PageUp: { row: 0, col },
    PageDown: { row: rows - 1, col },
  };
  const target = steps[key];
  if (target === undefined) return null;
  const within = (value: number, count: number): number => Math.max(0, Math.min(count - 1, value));
  return { row: within(target.row, rows), col: within(target.col, cols) };
}
