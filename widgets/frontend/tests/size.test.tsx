import { useRef } from "preact/hooks";
import { render } from "preact";
import { afterEach, expect, it, vi } from "vitest";
import { type Size, useSize } from "../src/shared";
import { settled } from "./fake-model";

const ratioWas = globalThis.devicePixelRatio;

afterEach(() => {
  Object.defineProperty(globalThis, "devicePixelRatio", { value: ratioWas, configurable: true });
  render(null, document.body);
});

it("follows the screen's pixels, also where no size changes, and as often as they do", async () => {
  const asked = new Map<string, EventTarget>();
  vi.spyOn(globalThis, "matchMedia").mockImplementation((query) => {
    const target = new EventTarget();
    asked.set(query, target);
    return target as MediaQueryList;
  });
  let size: Size = { width: 0, ratio: 0 };
  function Probe() {
    const box = useRef<HTMLDivElement>(null);
    size = useSize(box).value;
    return <div ref={box} />;
  }
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(640);
  Object.defineProperty(globalThis, "devicePixelRatio", { value: 1, configurable: true });
  render(<Probe />, document.body);
  await settled();
  expect(size).toEqual({ width: 640, ratio: 1 });
  let from = 1;
  for (const ratio of [2, 1.5]) {
    Object.defineProperty(globalThis, "devicePixelRatio", { value: ratio, configurable: true });
    asked.get(`(resolution: ${from}dppx)`)?.dispatchEvent(new Event("change"));
    await settled();
    expect(size).toEqual({ width: 640, ratio });
    from = ratio;
  }
});
