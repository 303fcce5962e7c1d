import { describe, expect, it } from "vitest";
import { entriesOf, entryOf, limitOf, weightText } from "../src/attention-colors";
import { Kept, Questions } from "../src/attention-questions";
import { blockFor, blocksOf, isWhole, panned, showing, whole, zoomed } from "../src/attention-region";
import { type HeadMap, hiddenBy, visibleKeys } from "../src/attention-state";
import { type Asked, Tiles } from "../src/attention-tiles";
import type { PanelModel } from "../src/shared";
import type { State } from "../src/attention-state";
import { FakeModel, wired } from "./fake-model";

/** What the panel's model does with messages. */
function messages(): { host: FakeModel; questions: Questions } {
  const host = new FakeModel({});
  const model = {
    send: (message: object) => host.send(message),
    onMessage: (handler: (message: unknown, buffers: DataView[]) => void) => host.on("msg:custom", handler as never),
  };
  return { host, questions: new Questions(model as unknown as PanelModel<State>) };
}

/** The answer of a kernel whose weight at (query, key) is query + key / 1000, pooled as Python pools. */
function answered(host: FakeModel, question: Record<string, unknown>): void {
  const { number, rows, columns, block } = question as {
    number: number;
    rows: [number, number];
    columns: [number, number];
    block: number;
  };
  const [height, width] = [rows, columns].map(([from, to]) => Math.ceil((to - from) / block)) as [number, number];
  const values = Float32Array.from({ length: height * width }, (_, at) => {
    const row = Math.min(rows[1], rows[0] + (Math.floor(at / width) + 1) * block) - 1;
    const col = Math.min(columns[1], columns[0] + ((at % width) + 1) * block) - 1;
    return row + col / 1000;
  });
  const { data, ...shape } = wired(values, [height, width]);
  host.message({ answer: "part", number, arrays: { weights: shape } }, [data]);
}

describe("the region that is looked at", () => {
  const all = whole(4096, 4096);

  it("zooms around a point that stays where it is, and stops at single cells and at the whole", () => {
    const near = zoomed(all, all, 0.5, { x: 0.25, y: 0.75 });
    expect(near).toEqual({ top: 1536, left: 512, rows: 2048, cols: 2048 });
    expect((0.75 * near.rows + near.top) / 4096).toBe(0.75);
    expect(zoomed(near, all, 0).rows).toBe(4);
    expect(isWhole(zoomed(near, all, Infinity), all)).toBe(true);
  });

  it("pans no further than the edge", () => {
    const near = zoomed(all, all, 0.25);
    expect(panned(near, all, -1e6, 1e6)).toEqual({ top: 0, left: 3072, rows: 1024, cols: 1024 });
  });

  it("moves as little as is needed to show a position", () => {
    const near = { top: 100, left: 100, rows: 50, cols: 50 };
    expect(showing(near, all, 99, 150)).toEqual({ ...near, top: 99, left: 101 });
    expect(showing(near, all, 120, null)).toEqual(near);
  });

  it("is drawn in cells that can be seen, down to single positions", () => {
    expect([4096, 2048, 1024, 512, 256, 40].map((rows) => blockFor(whole(rows, rows), 16))).toEqual([16, 8, 4, 2, 1, 1]);
    expect(blockFor(whole(4096, 4096), 12)).toBe(12);
    expect(blocksOf(7, 4, 11, 4)).toEqual({ starts: [4, 8], end: 11 });
  });

  it("of other rows than columns keeps its shape", () => {
    const cross = whole(1, 12);
    expect(zoomed(cross, cross, 0.5)).toEqual({ top: 0, left: 3, rows: 1, cols: 6 });
  });
});

describe("tiles", () => {
  const asked: Asked = { picture: 3, layer: 1, heads: [2], combine: "mean", hide_sink: false };
  const size = { queries: 300, keys: 300 };
  const run = (from: number, to: number, block: number): number[] =>
    Array.from({ length: Math.ceil((to - from) / block) }, (_, at) => from + at * block);

  it.each([
    [1, 60, 200],
    [2, 100, 300],
    [4, 0, 300],
  ])("in cells of %i hold Python's own weights wherever squares meet", (block, from, to) => {
    const { host, questions } = messages();
    const tiles = new Tiles(questions);
    const starts = run(from, to, block);
    const first = tiles.read(asked, size, block, starts, starts, () => -1);
    expect(first.complete).toBe(false);
    expect(first.weights.every((weight) => weight === -1)).toBe(true);
    answered(host, host.sent[0] as Record<string, unknown>);
    expect(tiles.arrived.value).toBe(1);
    const { weights, complete } = tiles.read(asked, size, block, starts, starts, () => -1);
    expect(complete).toBe(true);
    const end = (start: number): number => Math.min(300, start + block) - 1;
    const expected = starts.flatMap((row) => starts.map((col) => Math.fround(end(row) + end(col) / 1000)));
    expect([...weights]).toEqual(expected);
    expect(host.sent.length).toBe(1);
  });

  it("asks for what is missing alone, once, and drops an answer that comes too late", () => {
    const { host, questions } = messages();
    const tiles = new Tiles(questions);
    const near = run(0, 64, 1);
    const far = run(64, 128, 1);
    tiles.read(asked, size, 1, near, near, () => 0);
    tiles.read(asked, size, 1, near, near, () => 0);
    expect(host.sent).toMatchObject([{ type: "part", ...asked, rows: [0, 64], columns: [0, 64], block: 1 }]);
    tiles.read(asked, size, 1, far, near, () => 0);
    answered(host, host.sent[0] as Record<string, unknown>);
    expect(tiles.arrived.value).toBe(0);
    answered(host, host.sent[1] as Record<string, unknown>);
    expect(tiles.read(asked, size, 1, far, near, () => 0).complete).toBe(true);
    expect(tiles.read(asked, size, 1, near, near, () => 0).complete).toBe(false);
  });

  it("of other heads, or another picture, are others", () => {
    const { host, questions } = messages();
    const tiles = new Tiles(questions);
    const starts = run(0, 64, 1);
    tiles.read(asked, size, 1, starts, starts, () => 0);
    answered(host, host.sent[0] as Record<string, unknown>);
    for (const change of [{ heads: [2, 3] }, { picture: 4 }, { combine: "max" }, { hide_sink: true }]) {
      expect(tiles.read({ ...asked, ...change }, size, 1, starts, starts, () => 0).complete).toBe(false);
    }
  });

  it("are kept up to a number of bytes, those looked at last longest", () => {
    const kept = new Kept(24);
    for (const name of ["a", "b", "c"]) kept.set(name, new Float32Array(2));
    kept.get("a");
    kept.set("d", new Float32Array(2));
    expect(["a", "b", "c", "d"].map((name) => kept.get(name) !== undefined)).toEqual([true, false, true, true]);
    expect(kept.bytes).toBe(24);
  });

  it("say why they cannot be had", () => {
    const { host, questions } = messages();
    const said: string[] = [];
    questions.ask("row", { position: 9 }, () => said.push("answer"), (sentence) => said.push(sentence));
    host.message({ answer: "row", number: 1, error: "position=9 is out of range." });
    expect(said).toEqual(["position=9 is out of range."]);
  });
});

function mapOf(weights: number[], visible: number[], more: Partial<HeadMap> = {}): HeadMap {
  const cols = weights.length / (visible.length / 2);
  const starts = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
  return {
    layer: 0,
    heads: [0],
    combine: "mean",
    rows: visible.length / 2,
    cols,
    weights: Float32Array.from(weights),
    rowStart: starts(visible.length / 2),
    colStart: starts(cols),
    rowEnd: visible.length / 2,
    colEnd: cols,
    block: 1,
    exact: true,
    visible: Int32Array.from(visible),
    ...more,
  };
}

describe("colours", () => {
  const map = mapOf([0.8, 0, 0.1, 0.05], [0, 2, 0, 2]);

  it("go up to one, to the largest of the map, or of each row, the hidden first token left out", () => {
    expect(limitOf(map, "one", false)).toBe(1);
    expect(limitOf(map, "map", false)).toBeCloseTo(0.8);
    expect(limitOf(map, "one", true)).toBeCloseTo(0.05);
    const entries = entriesOf(map, { scale: "linear", reach: "row", limit: 1 }, false);
    expect([...entries]).toEqual([255, 0, 255, 128]);
    expect([...entriesOf(map, { scale: "linear", reach: "row", limit: 1 }, true)].slice(3)).toEqual([255]);
  });

  it("go down four decades on the logarithmic scale", () => {
    expect([1, 0.1, 0.01, 1e-4, 1e-5, 0, NaN].map((weight) => entryOf(weight, 1, "log"))).toEqual([
      255, 191, 128, 0, 0, 0, 0,
    ]);
  });

  it("write weights exactly, small ones too", () => {
    expect([0.81, 0.00012, 0, NaN, Infinity].map((weight) => weightText(weight, true, "NaN"))).toEqual([
      "0.810", "1.2e-4", "0.000", "NaN", "NaN",
    ]); // prettier-ignore
  });
});

describe("what a row sees", () => {
  it("tells what comes later from what lies before the window", () => {
    const map = mapOf(new Array(9).fill(0) as number[], [0, 1, 0, 2, 1, 3]);
    expect([0, 1, 2].map((col) => hiddenBy(map, 2, col))).toEqual(["window", null, null]);
    expect([0, 1, 2].map((col) => hiddenBy(map, 0, col))).toEqual([null, "later", "later"]);
  });

  it("is of a block of rows what any of them sees", () => {
    const seen = Int32Array.from([0, 1, 0, 2, 1, 3, 2, 4]);
    const rows = { first: new Float32Array(4), rest: new Float32Array(4), seen, sinks: false, notNumbers: 0 };
    expect([...visibleKeys(rows.seen, [0, 2], 4)]).toEqual([0, 2, 1, 4]);
  });
});
