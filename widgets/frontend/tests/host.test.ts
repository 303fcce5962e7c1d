import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { carriedMatrix } from "../src/attention-carried";
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
  const wire = (values: Uint8Array | Float32Array, dtype: WireArray["dtype"]): WireArray => ({
    data: new DataView(values.buffer, values.byteOffset, values.byteLength),
    dtype,
    shape: [values.length],
  });
  // Two heads of layer 4, three positions; key by key, without the keys that come later.
  const carried = {
    layers: [4],
    heads: 2,
    row_start: [0, 1, 2],
    block: 1,
    causal: true,
    levels: wire(Uint8Array.from([0, 0, 0, 0, 0, 0, 255, 51, 102, 153, 0, 204]), "uint8"),
    scale: wire(Float32Array.from([1, 0.5]), "float32"),
    error: 0.002,
  };
  const weights = (matrix: ReturnType<typeof carriedMatrix>): number[] =>
    [...new Float32Array(matrix!.data.data.buffer)].map((weight) => Math.round(weight * 100) / 100);

  it("are read key by key, each against its head's largest weight", () => {
    const matrix = carriedMatrix(carried, 7, 4, 1);
    expect(weights(matrix)).toEqual([0.5, 0, 0, 0.1, 0.3, 0, 0.2, 0, 0.4]);
    expect([matrix!.request, matrix!.layer, matrix!.head, matrix!.col_start]).toEqual([7, 4, 1, [0, 1, 2]]);
  });

  it("are whole maps where positions attend to later ones", () => {
    const whole = { ...carried, heads: 1, causal: false, row_start: [0, 1], levels: wire(Uint8Array.from([255, 0, 51, 255]), "uint8") };
    expect(weights(carriedMatrix(whole, 1, 4, 0))).toEqual([1, 0.2, 0, 1]);
  });

  it("are none of another layer, or of no page", () => {
    expect([carriedMatrix(carried, 1, 3, 0), carriedMatrix(carried, 1, 4, 2), carriedMatrix(undefined, 1, 4, 0)]).toEqual([null, null, null]);
  });

  it("are refused where bytes are missing", () => {
    expect(() => carriedMatrix({ ...carried, heads: 3 }, 1, 4, 2)).toThrow("carried.levels");
  });
});
