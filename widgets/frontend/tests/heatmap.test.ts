import { describe, expect, it } from "vitest";
import { type Cells, blit, maxPool, weightIndices } from "../src/shared";

function cells(rows: number[][]): Cells {
  return { values: Uint8Array.from(rows.flat()), rows: rows.length, cols: rows[0]?.length ?? 0 };
}

const table = Uint32Array.from({ length: 256 }, (_, index) => index + 1000);

function drawn(source: Cells, width: number, height: number, gap = 0): number[][] {
  const data = new Uint32Array(width * height);
  blit({ data, width, height }, source, table, { left: 0, top: 0, width, height, gap });
  return Array.from({ length: height }, (_, y) =>
    [...data.subarray(y * width, (y + 1) * width)].map((p) => p && p - 1000),
  );
}

describe("maxPool", () => {
  it("keeps the largest of every block", () => {
    const source = cells([
      [1, 2, 3, 9],
      [4, 0, 0, 0],
      [0, 0, 7, 0],
      [0, 8, 0, 0],
    ]);
    expect([...maxPool(source, 2, 2).values]).toEqual([4, 9, 8, 7]);
  });

  it("loses nothing where blocks are uneven", () => {
    for (const size of [3, 5, 7, 32, 33]) {
      for (let at = 0; at < size; at++) {
        const values = new Uint8Array(size);
        values[at] = 200;
        expect(Math.max(...maxPool({ values, rows: 1, cols: size }, 1, 3).values)).toBe(200);
      }
    }
  });

  it("repeats cells when it enlarges", () => {
    expect([...maxPool(cells([[1, 2]]), 2, 4).values]).toEqual([1, 1, 2, 2, 1, 1, 2, 2]);
  });
});

describe("blit", () => {
  it("gives every cell whole pixels of one colour", () => {
    expect(
      drawn(
        cells([
          [1, 2],
          [3, 4],
        ]),
        4,
        4,
      ),
    ).toEqual([
      [1, 1, 2, 2],
      [1, 1, 2, 2],
      [3, 3, 4, 4],
      [3, 3, 4, 4],
    ]);
  });

  it("leaves the gap at the end of every cell empty", () => {
    expect(drawn(cells([[1, 2]]), 6, 3, 1)).toEqual([
      [1, 1, 0, 2, 2, 0],
      [1, 1, 0, 2, 2, 0],
      [0, 0, 0, 0, 0, 0],
    ]);
  });

  it("shows the largest value where cells are smaller than pixels", () => {
    expect(drawn(cells([[0, 9, 0, 0, 3, 0]]), 2, 1)).toEqual([[9, 3]]);
  });

  it("draws nothing into no room or from no cells", () => {
    expect(drawn({ values: new Uint8Array(0), rows: 0, cols: 0 }, 2, 1)).toEqual([[0, 0]]);
  });
});

it("turns weights into table entries, whatever arrives", () => {
  expect([...weightIndices([0, 1, 0.5, NaN, -1, 7, Infinity])]).toEqual([0, 255, 128, 0, 0, 255, 255]);
});
