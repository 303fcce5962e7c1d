/**
 * What panels are made of.
 *
 *     export interface State extends CommonState { selection: Selection }      the synced traits, named as in Python
 *
 *     function MyPanel() {
 *       const model = useModel<State>();                       traits as signals, write, send, abort, dark
 *       const { picture, fault } = usePicture(readView).value; the last readable view, decoded
 *       return (
 *         <Panel name="mine" tokens={picture?.tokens ?? []} ready={picture !== null} fault={fault}
 *                legend={<Legend table="weight" low="0" high="1" />}>
 *           …
 *         </Panel>
 *       );
 *     }
 *     export default mountPanel(MyPanel);
 *
 * Style sheets begin with `@import "./shared/panel.css";` and keep every selector under `.explorer-panel`.
 */

export { useAround } from "./around";
export { type Chip, blankMarks, chips, tokenName, visible } from "./chips";
export * from "./codec";
export * from "./colors";
export type { Host, SharedState, WireEdit, WirePinned, WireWritten } from "./exploration";
export { FaultCard, faultOf } from "./fault";
export * from "./geometry";
export * from "./heatmap";
export type { KeyHelp } from "./keys";
export { Legend, type LegendProps } from "./legend";
export { type HostModel, PanelModel, signalOf, write } from "./model";
export { type PanelModule, mountPanel } from "./mount";
export { type Column, NumberTable, Turn, pageOf } from "./numbers";
export { Panel, type PanelProps } from "./panel";
export { usePinned } from "./pinned";
export { Prompt } from "./prompt";
export { type Note, type Said, inWords, keyOf } from "./said";
export { type Picture, checkView, pictureOf, usePicture } from "./picture";
export { useRested } from "./rested";
export { useDomId, useModel, useScope, useTooltip } from "./scope";
export { type Size, useSize } from "./size";
export { Slot, type SlotProps } from "./slot";
export { StatusLine, StatusWords, duration } from "./status";
export { EchoRule, wellFormed } from "./text";
export { type Theme, isDark, surfaceBehind, watchTheme } from "./theme";
export { ChipView, type ChipProps, Role, TokenStrip, type TokenStripProps, readsLeftwards, roleName } from "./tokens";
export { Tooltip, TooltipControl } from "./tooltip";
export {
  type Area,
  type Language,
  type Words,
  attentionWords,
  attributionWords,
  cautionWords,
  depthWords,
  differenceWords,
  languageOf,
  linesWords,
  measureNames,
  measuresWords,
  neuronWords,
  noteWords,
  picturesWords,
  planeWords,
  samplingWords,
  sharedWords,
  textWords,
  tokenWords,
  useWords,
  wordsOf,
  workbenchWords,
} from "./words";
export type { About, CommonState, Fault, Status, View, WireToken } from "./wire";
