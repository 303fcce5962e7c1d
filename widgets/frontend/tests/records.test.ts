import { expect, it } from "vitest";
import { signalOf } from "../src/shared";
import { unpacked } from "../src/shared/records";
import { FakeModel } from "./fake-model";

const SENT = { length: 2, columns: { id: [464, 3139], text: ["The", " capital"], kind: "text", part: 1 } };
const TOKENS = [
  { id: 464, text: "The", kind: "text", part: 1 },
  { id: 3139, text: " capital", kind: "text", part: 1 },
];

it("makes records of columns, wherever they stand", () => {
  const logits = new DataView(new ArrayBuffer(8));
  const told = unpacked({ request: 3, tokens: SENT, pictures: { sampling: { logits, labels: SENT } }, notes: ["a"] });
  expect(told).toEqual({ request: 3, tokens: TOKENS, pictures: { sampling: { logits, labels: TOKENS } }, notes: ["a"] });
  expect(unpacked({ length: 0, columns: {} })).toEqual([]);
});

it("gives back what has none as it is", () => {
  const view = { request: 1, tokens: TOKENS, settings: { top_k: null } };
  expect(unpacked(view)).toBe(view);
  expect(unpacked(null)).toBeNull();
});

it("shows a trait's records to whoever reads the trait, now and later", () => {
  const model = new FakeModel({ view: { tokens: SENT } });
  const view = signalOf<{ view: { tokens: unknown } }, "view">(model, "view", new AbortController().signal);
  expect(view.value.tokens).toEqual(TOKENS);
  model.set("view", { tokens: { ...SENT, length: 1 } });
  expect(view.value.tokens).toEqual([TOKENS[0]]);
});

it("leaves what a short column lacks for the reader to notice", () => {
  expect(unpacked({ length: 2, columns: { text: ["The"] } })).toEqual([{ text: "The" }, { text: undefined }]);
});
