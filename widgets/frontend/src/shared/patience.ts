/** What a reader should hear of when it takes longer than a second. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useModel } from "./scope";
import type { CommonState } from "./wire";

const PATIENCE_MS = 1000;

/** Whether something has been so for longer than a second. */
export function useLong(now: boolean): boolean {
  const long = useSignal(false);
  useEffect(() => {
    if (!now) return;
    const timer = setTimeout(() => (long.value = true), PATIENCE_MS);
    return () => {
      clearTimeout(timer);
      long.value = false;
    };
  }, [now, long]);
  return now && long.value;
}

/** Whether the kernel has said nothing of a prompt for longer than a second: it answers each with a new status. */
export function useUnanswered(): boolean {
  const model = useModel<CommonState>();
  const text = model.trait("text").value;
  const status = model.trait("status").value;
  const asked = useSignal(false);
  const known = useRef(text);
  useEffect(() => {
    asked.value = known.current !== text;
    known.current = text;
  }, [text, asked]);
  useEffect(() => {
    asked.value = false;
  }, [status, asked]);
  return useLong(asked.value);
}
