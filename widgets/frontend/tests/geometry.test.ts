import { describe, expect, it } from "vitest";
import { blockOf, boxOf, cellAt, labelStep, snapped, walked } from "../src/shared";

const lattice = { left: 40, top: 20, rows: 3, cols: 5, pitchX: 10, pitchY: 8, gap: 1 };

describe("hit test", () => {
  it("finds the cell whose box holds the point", () => {
    for (let row = 0; row < 3; row++) {
      for (let col = 0; col < 5; col++) {
        const box = boxOf(lattice, { row, col });
        expect(cellAt(lattice, box.left, box.top)).toEqual({ row, col });
        expect(cellAt(lattice, box.left + box.width - 0.1, box.top + box.height - 0.1)).toEqual({ row, col });
      }
    }
  });

  it("finds nothing beside the map", () => {
    for (const [x, y] of [
      [39.9, 22],
      [45, 19.9],
      [90, 22],
      [45, 44],
      [NaN, 22],
    ] as const) {
      expect(cellAt(lattice, x, y)).toBeNull();
    }
  });
});

describe("keys", () => {
  it("walk and stop at the edges", () => {
    expect(walked("ArrowRight", { row: 1, col: 1 }, 3, 5)).toEqual({ row: 1, col: 2 });
    expect(walked("ArrowLeft", { row: 1, col: 0 }, 3, 5)).toEqual({ row: 1, col: 0 });
    expect(walked("ArrowUp", { row: 0, col: 0 }, 3, 5)).toEqual({ row: 0, col: 0 });
    expect(walked("ArrowDown", { row: 2, col: 4 }, 3, 5)).toEqual({ row: 2, col: 4 });
    expect(walked("Home", { row: 2, col: 4 }, 3, 5)).toEqual({ row: 2, col: 0 });
    expect(walked("End", { row: 2, col: 0 }, 3, 5)).toEqual({ row: 2, col: 4 });
    expect(walked("x", { row: 0, col: 0 }, 3, 5)).toBeNull();
  });
});

describe("sizes", () => {
  it("are whole device pixels, and never nothing", () => {
    expect(snapped(10.9, 1)).toBe(10);
    expect(snapped(10.9, 2)).toBe(10.5);
    expect(snapped(0.3, 1)).toBe(0.3);
  });

  it("leave out labels that would touch", () => {
    expect(labelStep(30, 12)).toBe(1);
    expect(labelStep(8.5, 12)).toBe(2);
    expect(labelStep(2, 12)).toBe(10);
    expect(labelStep(0.1, 12)).toBe(200);
  });

  it("find the block of a position", () => {
    expect([0, 2, 3, 5, 8, 99].map((position) => blockOf([0, 3, 6], position))).toEqual([0, 0, 1, 1, 2, 2]);
    expect(blockOf([], 4)).toBe(-1);
  });
});
