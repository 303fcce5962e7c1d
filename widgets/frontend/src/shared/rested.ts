/** What follows the pointer only where it rests, because drawing it at each move would hold the pointer up. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

const REST_MS = 80;

/** `value`, or while it keeps changing the one before; at once where `slow` is false. */
export function useRested<Value>(value: Value, slow: boolean): Value {
  const rested = useSignal(value);
  useEffect(() => {
    if (!slow || value === rested.peek()) {
      rested.value = value;
      return;
    }
    const timer = setTimeout(() => (rested.value = value), REST_MS);
    return () => clearTimeout(timer);
  }, [value, slow]);
  return slow ? rested.value : value;
}
