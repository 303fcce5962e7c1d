import { describe, expect, it } from "vitest";
import { decode, decodeBytes, decodeFloats, halfToNumber } from "../src/shared";
import { wired } from "./fake-model";

describe("decode", () => {
  it("reads only its own bytes, wherever they lie", () => {
    for (const shift of [0, 1, 2, 3, 4, 8]) {
      const floats = decodeFloats(wired(new Float32Array([0.5, -2, 1e9]), [3], shift), "view.x", 1);
      expect([...floats.values]).toEqual([0.5, -2, 1e9]);
      expect([...decode(wired(new Int32Array([1, -7]), [2], shift), "view.x").values]).toEqual([1, -7]);
    }
    expect([...decodeBytes(wired(new Uint8Array([1, 2, 3, 4]), [2, 2]), "view.x", 2).values]).toEqual([
      1, 2, 3, 4,
    ]);
  });

  it("widens halves", () => {
    const bits = {
      0x3c00: 1,
      0xc000: -2,
      0x0001: 2 ** -24,
      0x7bff: 65504,
      0x3555: 0.333251953125,
      0x7c00: Infinity,
    };
    for (const [half, value] of Object.entries(bits)) expect(halfToNumber(Number(half))).toBe(value);
    expect(halfToNumber(0x7e00)).toBeNaN();
    expect(Object.is(halfToNumber(0x8000), -0)).toBe(true);
    const array = decodeFloats(wired(new Uint16Array([0x3c00, 0x3800]), [1, 2], 1), "view.x", 2);
    expect([...array.values]).toEqual([1, 0.5]);
  });

  it("accepts an empty array and keeps NaN", () => {
    expect(decode(wired(new Float32Array(0), [0, 4]), "view.x").values.length).toBe(0);
    expect(decodeFloats(wired(new Float32Array([NaN]), [1]), "view.x", 1).values[0]).toBeNaN();
  });

  it.each([
    [undefined, "view.x is no array"],
    [null, "view.x is no array"],
    [{ data: [1, 2], dtype: "uint8", shape: [2] }, "view.x is no array"],
    [{ ...wired(new Uint8Array(2), [2]), dtype: "float64" }, "view.x has the dtype float64"],
    [{ ...wired(new Uint8Array(2), [2]), shape: [3] }, "view.x has 2 bytes; uint8 of shape [3] needs 3"],
    [{ ...wired(new Uint8Array(2), [2]), shape: [-2] }, "view.x has the shape [-2]"],
    [{ ...wired(new Uint8Array(2), [2]), shape: undefined }, "view.x has the shape"],
  ])("refuses %j, saying what it was", (wire, message) => {
    expect(() => decode(wire, "view.x")).toThrow(message);
  });

  it("refuses another type or number of axes", () => {
    expect(() => decodeFloats(wired(new Uint8Array(2), [2]), "view.x", 1)).toThrow("float16 or float32");
    expect(() => decodeBytes(wired(new Uint8Array(2), [2]), "view.x", 4)).toThrow("1 axes; 4 were expected");
  });
});
