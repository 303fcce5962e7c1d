import type { JSX } from "preact";

/** Keys and what they do: `["← →", "walk the layers"]`. */
export type KeyHelp = readonly [keys: string, does: string];

const EVERYWHERE: readonly KeyHelp[] = [
  ["Tab", "go to the next part of the panel"],
  ["Esc", "let go of what is selected"],
  ["?", "show or hide this list"],
];

/** The list of keys that `?` shows. */
export function KeyList({ id, keys }: { id: string; keys: readonly KeyHelp[] }): JSX.Element {
  return (
    <dl id={id} class="explorer-keys" aria-label="Keys">
      {[...keys, ...EVERYWHERE].map(([key, does]) => (
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
