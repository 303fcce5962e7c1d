/** The labels along one side of the map. */

import type { JSX } from "preact";
import { type MapLayout, isUpright } from "./attention-layout";
import { type WireToken, labelStep } from "./shared";

export interface AxisProps {
  side: "row" | "col";
  /** Where each row or column begins. */
  starts: readonly number[];
  labels: readonly string[];
  tokens: readonly WireToken[];
  layout: MapLayout;
  /** Pixels at the end of the labels that hold something else. */
  inset?: number;
  chosen: number | undefined;
  hovered: number | undefined;
  onChoose?: (index: number) => void;
}

/** Labels closer than this, in CSS pixels, would run into each other. */
const NEEDED = 12;
/** Between a label and the map. */
const GAP = 6;

/** As many labels as fit; the chosen and the hovered one always, in place of those they would run into. */
export function AttentionAxis(props: AxisProps): JSX.Element {
  const { side, starts, labels, tokens, layout, chosen, hovered, onChoose } = props;
  const isRow = side === "row";
  const pitch = isRow ? layout.lattice.pitchY : layout.lattice.pitchX;
  const origin = isRow ? layout.gutterY : layout.gutterX;
  const step = labelStep(pitch, NEEDED);
  const marked = [chosen, hovered].filter((index) => index !== undefined);
  const crowded = (index: number): boolean =>
    marked.some((other) => other !== index && Math.abs(other - index) * pitch < NEEDED);
  const shown = starts.flatMap((_, index) =>
    marked.includes(index) || (index % step === 0 && !crowded(index)) ? [index] : [],
  );
  return (
    <>
      {shown.map((index) => {
        const label = labels[index] ?? "";
        const place = `${origin + (index + 0.5) * pitch - layout.lattice.gap / 2}px`;
        const marks = [
          index === chosen ? "is-chosen" : "",
          index === hovered ? "is-hovered" : "",
          !isRow && isUpright(label) ? "is-upright" : "",
        ];
        return (
          <span
            key={index}
            class={`explorer-axis is-${side} ${marks.join(" ")}`}
            style={
              isRow
                ? { top: place, width: `${layout.gutterX - GAP - (props.inset ?? 0)}px` }
                : { left: place, height: `${layout.gutterY - GAP}px` }
            }
            onClick={onChoose ? () => onChoose(index) : undefined}
          >
            <bdi>{label}</bdi>
            <Part token={tokens[starts[index] ?? -1]} whole={(starts[1] ?? 1) - (starts[0] ?? 0) === 1} />
          </span>
        );
      })}
    </>
  );
}

/** Which piece of its character a token is, where a row or column is one token. */
function Part({ token, whole }: { token: WireToken | undefined; whole: boolean }): JSX.Element | null {
  if (token === undefined || token.parts < 2 || !whole) return null;
  return (
    <small>
      {token.part}/{token.parts}
    </small>
  );
}
