/** Arrays on the wire: `{data, dtype, shape}` with a DataView, and back to the typed array drawing code works with. */

/** An array as it arrives. */
export interface WireArray {
  data: DataView;
  dtype: "uint8" | "float16" | "float32" | "int32";
  shape: number[];
}

/** The typed arrays that `decode` returns; float16 arrives as float32. */
export type Numbers = Uint8Array | Float32Array | Int32Array;

export interface Decoded<A extends Numbers = Numbers> {
  values: A;
  shape: number[];
}

const BYTES = { uint8: 1, float16: 2, float32: 4, int32: 4 } as const;

/** One IEEE 754 half, given as its 16 bits, as a number. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function isView(data: unknown): data is ArrayBufferView {
  return ArrayBuffer.isView(data) || Object.prototype.toString.call(data) === "[object DataView]";
}

/**
 * The typed array inside `wire`. Only the bytes of the view are read, wherever they lie in their buffer.
 *
 * @param wire what arrived; anything malformed is refused
 * @param what how the error calls it, such as "matrix.data"
 * @throws Error naming `what` where the dtype is unknown, the shape is not whole numbers, or the bytes do not fill it
 */
export function decode(wire: unknown, what: string): Decoded {
  const array = wire as Partial<WireArray> | null | undefined;
  if (array === null || typeof array !== "object" || !isView(array.data)) {
    throw new Error(`${what} is no array: an object with data, dtype and shape was expected.`);
  }
  const { data, dtype, shape } = array as WireArray;
  if (!(dtype in BYTES))
    throw new Error(`${what} has the dtype ${String(dtype)}; ${Object.keys(BYTES).join(", ")} are known.`);
  if (!Array.isArray(shape) || shape.some((size) => !Number.isInteger(size) || size < 0)) {
    throw new Error(
      `${what} has the shape ${JSON.stringify(shape)}; whole numbers of at least 0 were expected.`,
    );
  }
  const count = shape.reduce((product, size) => product * size, 1);
  const bytes = count * BYTES[dtype];
  if (data.byteLength !== bytes) {
    throw new Error(
      `${what} has ${data.byteLength} bytes; ${dtype} of shape [${shape.join(", ")}] needs ${bytes}.`,
    );
  }
  return { values: numbers(data, dtype, count), shape };
}

function numbers(data: DataView, dtype: WireArray["dtype"], count: number): Numbers {
  if (dtype === "uint8") return new Uint8Array(data.buffer, data.byteOffset, count);
  // A typed array must start at a multiple of its element size; a view inside a message often does not.
  const width = BYTES[dtype];
  const aligned = data.byteOffset % width === 0;
  const buffer = aligned
    ? data.buffer
    : data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
  const offset = aligned ? data.byteOffset : 0;
  if (dtype === "float32") return new Float32Array(buffer, offset, count);
  if (dtype === "int32") return new Int32Array(buffer, offset, count);
  return Float32Array.from(new Uint16Array(buffer, offset, count), halfToNumber);
}

/**
 * Like {@link decode}, for real numbers: float32, or float16 widened. The values may hold NaN and infinities.
 *
 * @param axes how many axes the array must have
 */
export function decodeFloats(wire: unknown, what: string, axes: number): Decoded<Float32Array> {
  const found = decode(wire, what);
  if (!(found.values instanceof Float32Array))
    throw new Error(`${what} must hold float16 or float32 values.`);
  expectAxes(found.shape, what, axes);
  return { values: found.values, shape: found.shape };
}

/** Like {@link decode}, for bytes. */
export function decodeBytes(wire: unknown, what: string, axes: number): Decoded<Uint8Array> {
  const found = decode(wire, what);
  if (!(found.values instanceof Uint8Array)) throw new Error(`${what} must hold uint8 values.`);
  expectAxes(found.shape, what, axes);
  return { values: found.values, shape: found.shape };
}

/** Like {@link decode}, for whole numbers such as token ids. */
export function decodeInts(wire: unknown, what: string, axes: number): Decoded<Int32Array> {
  const found = decode(wire, what);
  if (!(found.values instanceof Int32Array)) throw new Error(`${what} must hold int32 values.`);
  expectAxes(found.shape, what, axes);
  return { values: found.values, shape: found.shape };
}

function expectAxes(shape: number[], what: string, axes: number): void {
  if (shape.length !== axes) throw new Error(`${what} has ${shape.length} axes; ${axes} were expected.`);
}
