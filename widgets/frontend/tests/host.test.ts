import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Wanted, carriedMatrix, carriedSide } from "../src/attention-carried";
import { type PageModel, hostOf, inflated, modelsOf } from "../src/host";
import type { WireArray } from "../src/shared";

const SAVED = { model: "a model", date: "2026-01-31" };

function page(state: Record<string, unknown> = {}): Parameters<typeof modelsOf>[0] {
  return {
    root: "a",
    language: "",
    saved: SAVED,
    facts: [],
    models: {
      a: {
        state: { view: { parts: [{ data: null }] }, exploration: "anywidget:b", ...state },
        buffers: [{ path: ["view", "parts", 0, "data"], span: [8, 3] }],
        module: 0,
      },
      b: { state: { text: "hello" }, buffers: [], module: null },
    },
    modules: [[0, 4]],
  };
}

const bytes = Uint8Array.from({ length: 16 }, (_, index) => index);

describe("a saved page", () => {
  it("unpacks what Python packed", async () => {
    const packed = gzipSync(bytes).toString("base64");
    expect([...(await inflated(`\n${packed}\n`))]).toEqual([...bytes]);
  });

  it("puts arrays back where they were, wherever they lie", () => {
    const view = modelsOf(page(), bytes.subarray(2)).get("a")!.get("view") as { parts: { data: DataView }[] };
    const { data } = view.parts[0]!;
    expect([data.byteLength, data.getUint8(0), data.getUint8(2)]).toEqual([3, 10, 12]);
  });

  it("gives all panels one exploration, and tells each what another set", async () => {
    const content = page();
    const models = modelsOf(content, bytes);
    const host = hostOf(content, models, () => Promise.reject(new Error("none")));
    const shared = (await host.getModel("anywidget:b")) as PageModel;
    expect(await host.getModel("anywidget:b")).toBe(shared);
    const heard: unknown[] = [];
    const hear = (): void => void heard.push(shared.get("text"));
    shared.on("change:text", hear);
    shared.set("text", "there");
    shared.set("text", "there"); // no change
    shared.save_changes();
    shared.send();
    shared.off("change:text", hear);
    shared.set("text", "gone");
    expect(heard).toEqual(["there"]);
    expect(shared.saved).toBe(SAVED);
  });

  it("refuses what it does not hold", async () => {
    const content = page();
    const host = hostOf(content, modelsOf(content, bytes), () => Promise.reject(new Error("none")));
    await expect(host.getModel("anywidget:c")).rejects.toThrow("anywidget:c is not in this page");
    await expect(host.getModel("IPY_MODEL_b")).rejects.toThrow("is not in this page");
    await expect(host.getWidget("anywidget:b")).rejects.toThrow("has no view");
  });
});

describe("the heads that a page carries", () => {
  const wire = (values: Uint8Array | Float32Array | Int32Array, dtype: WireArray["dtype"]): WireArray => ({
    data: new DataView(values.buffer, values.byteOffset, values.byteLength),
    dtype,
    shape: [values.length],
  });
  const floats = (...values: number[]): WireArray => wire(Float32Array.from(values), "float32");
  // Two heads of layer 4, three positions; key by key, without the keys that come later.
  const carried = {
    stack: "",
    kind: "attn",
    layers: [4],
    heads: 2,
    row_start: [0, 1, 2],
    col_start: [0, 1, 2],
    block: 1,
    causal: true,
    levels: wire(Uint8Array.from([0, 0, 0, 0, 0, 0, 255, 51, 102, 153, 0, 204]), "uint8"),
    scale: floats(1, 0.5),
    first: floats(1, 0.5, 0.25, 0.5, 0.125, 0.25),
    rest: floats(0, 0, 0, 0.5, 0.25, 0.5),
    seen: wire(Int32Array.from([0, 1, 0, 2, 0, 3]), "int32"),
    sinks: [true],
    error: 0.002,
  };
  const one: Wanted = { request: 7, stack: "", kind: "attn", layer: 4, heads: [1], combine: "mean", hideSink: false };
  const numbers = (array: WireArray): number[] =>
    [...new Float32Array(array.data.buffer, array.data.byteOffset, array.data.byteLength / 4)].map(
      (weight) => Math.round(weight * 1000) / 1000,
    );
  const weights = (matrix: ReturnType<typeof carriedMatrix>): number[] => numbers(matrix!.data);

  it("are read key by key, each against its head's largest weight", () => {
    const matrix = carriedMatrix(carried, one)!;
    expect(weights(matrix)).toEqual([0.5, 0, 0, 0.1, 0.3, 0, 0.2, 0, 0.4]);
    expect([matrix.request, matrix.layer, matrix.heads, matrix.col_start, matrix.sinks]).toEqual([7, 4, [1], [0, 1, 2], true]);
    expect([numbers(matrix.first), numbers(matrix.rest)]).toEqual([
      [0.5, 0.125, 0.25],
      [0.5, 0.25, 0.5],
    ]);
    expect([...new Int32Array(matrix.seen.data.buffer)]).toEqual([0, 1, 0, 2, 0, 3]);
  });

  it("are joined as Python joins several", () => {
    const both = { ...one, heads: [0, 1] };
    expect(weights(carriedMatrix(carried, both))).toEqual([0.25, 0, 0, 0.05, 0.15, 0, 0.1, 0, 0.2]);
    expect(numbers(carriedMatrix(carried, both)!.first)).toEqual([0.75, 0.313, 0.25]);
    expect(weights(carriedMatrix(carried, { ...both, combine: "max" }))).toEqual([0.5, 0, 0, 0.1, 0.3, 0, 0.2, 0, 0.4]);
  });

  it("are whole maps where positions attend to later ones", () => {
    const whole = {
      ...carried,
      ...{ heads: 1, causal: false, row_start: [0, 1], col_start: [0, 1], first: floats(1, 0), rest: floats(0, 0) },
      levels: wire(Uint8Array.from([255, 0, 51, 255]), "uint8"),
    };
    expect(weights(carriedMatrix(whole, { ...one, heads: [0] }))).toEqual([1, 0.2, 0, 1]);
  });

  it("give what one position attends to, and what attends to one", () => {
    const tenths = (values: ArrayLike<number>): number[] => Array.from(values, (value) => Math.round(value * 10) / 10);
    const row = carriedSide(carried, one, "query", 1)!;
    expect([tenths(row.weights), [...row.visible]]).toEqual([[0.1, 0.3, 0], [1, 1, 0]]);
    expect(tenths(row.largest)).toEqual([0.5, 0.4, 0.5, 0.4]);
    const column = carriedSide(carried, { ...one, heads: [0, 1] }, "key", 1)!;
    expect([tenths(column.weights), [...column.visible]]).toEqual([[0, 0, 0, 0, 0.3, 0], [0, 1, 1]]);
    expect(carriedSide({ ...carried, block: 2 }, one, "query", 2)).toBeNull();
  });

  it("are none of another layer, head or attention, of no page, or of what blocks cannot tell", () => {
    const pooled = { ...carried, block: 2 };
    const none = [
      carriedMatrix(carried, { ...one, layer: 3 }),
      carriedMatrix(carried, { ...one, heads: [2] }),
      carriedMatrix(carried, { ...one, kind: "cross_attn" }),
      carriedMatrix(undefined, one),
      carriedMatrix(pooled, { ...one, hideSink: true }),
      carriedMatrix(pooled, { ...one, heads: [0, 1] }),
    ];
    expect(none).toEqual(none.map(() => null));
  });

  it("are refused where bytes are missing", () => {
    expect(() => carriedMatrix({ ...carried, heads: 3 }, { ...one, heads: [2] })).toThrow("carried.levels");
  });
});
