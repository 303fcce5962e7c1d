import type { JSX } from "preact";
import { sharedWords, useWords } from "./words";

/** Keys and what they do: `["← →", "walk the layers"]`. */
export type KeyHelp = readonly [keys: string, does: string];

/** The list of keys that `?` shows. */
export function KeyList({ id, keys }: { id: string; keys: readonly KeyHelp[] }): JSX.Element {
  const words = useWords(sharedWords);
  return (
    <dl id={id} class="explorer-keys" aria-label={words.keys}>
      {[...keys, ...words.keysEverywhere].map(([key, does]) => (
        <div key={key + does}>
          <dt>
            <kbd>{key}</kbd>
          </dt>
          <dd>{does}</dd>
        </div>
      ))}
    </dl>
  );
}
