/**
 * Every word the panels say, in English. `zh.ts` says the same in Chinese; a panel's bundle holds the areas it uses.
 *
 * A value is a string, a function of what it talks about, or a list of such. What stands in the middle of a sentence and
 * is more than text (a token in its frame) goes in as a value too: such a function gives a list to be drawn in order.
 */

import type { KeyHelp } from "../keys";

const whole = (count: number): string => count.toLocaleString("en");
const tokens = (count: number): string => `${whole(count)} ${count === 1 ? "token" : "tokens"}`;

export const shared = {
  language: "en",
  tokens,
  percent: (amount: string) => `${amount} %`,
  lessThan: (amount: string) => `less than ${amount}`,
  moreThan: (amount: string) => `more than ${amount}`,
  listed: (parts: readonly string[]) => parts.filter((part) => part !== "").join(", "),
  details: "Details",
  notDrawn: "The panel could not be drawn.",
  notRead: "The picture cannot be read.",
  noReason: "Something failed, and no reason was given.",
  keys: "Keys",
  keysEverywhere: [
    ["Tab", "go to the next part of the panel"],
    ["Esc", "let go of what is selected"],
    ["?", "show or hide this list"],
  ] as readonly KeyHelp[],
  colors: (low: string, high: string) => `colours from ${low} to ${high}`,
  prompt: "Prompt",
  typePrompt: "Type a prompt",
  tooLong: (count: number, most: number) =>
    `The text has ${whole(count)} characters; texts of more than ${whole(most)} are not sent to the model. Shorten it.`,
  halfCharacter: "A half of a character pair stands alone; the model reads it as “\ufffd”.",
  states: { live: "live", working: "working", error: "error", waiting: "waiting for the model" },
  gone: "no longer live: the kernel was restarted or is gone",
  runAgain: "Run the cell again to go on.",
  progress: "Progress",
  promptTokens: "Tokens of the prompt",
  token: (index: number) => `token ${index}`,
  position: (index: number) => `position ${index}`,
  id: (id: number) => `id ${id}`,
  showAll: (count: number) => `show all ${tokens(count)}`,
  rowsShown: (first: number, last: number, count: number) => `rows ${whole(first)}–${whole(last)} of ${whole(count)}`,
  columnsShown: (first: number, last: number, count: number) =>
    `columns ${whole(first)}–${whole(last)} of ${whole(count)}`,
  earlierRows: "Rows before these",
  laterRows: "Rows after these",
  earlierColumns: "Columns before these",
  laterColumns: "Columns after these",
};

export const attention = {
  title: "Attention",
  head: (layer: number, head: number) => `layer ${layer} · head ${head}`,
  keys: [
    ["← →", "walk layers, keys or tokens"],
    ["↑ ↓", "walk heads or queries"],
    ["Home End", "go to the first or last"],
    ["Enter", "choose the cell or token"],
  ] as readonly KeyHelp[],
  hideFirst: "hide first token",
  whyHideFirst:
    "Heads with nothing to do attend to the first token; hiding its column shows the rest. Weights stay as they are.",
  fromThumbnail: "from the thumbnail; exact weights are being computed",
  heads: "Heads",
  headCount: (layers: number, heads: number) => `${layers} layers × ${heads} heads`,
  headCountUpTo: (layers: number, heads: number) => `${layers} layers × up to ${heads} heads`,
  grid: (layers: number, heads: number) => `${layers} layers by ${heads} heads`,
  chosen: (layer: number, head: number) => `layer ${layer}, head ${head}`,
  announced: (layer: number, head: number, pair: string, weight: string) =>
    `Layer ${layer}, head ${head}: ${pair} ${weight}`,
  map: (layer: number, head: number) => `Attention of layer ${layer}, head ${head}: rows attend to columns`,
  firstHidden: (percent: number) => `first token hidden: ${percent} % of the mass`,
  noHead: "no head is chosen: click one for its exact weights",
  blocks: (size: number) => `each cell is the largest of ${size} × ${size} weights`,
  sampled: (rows: number, all: number) => `thumbnails: sampled ${rows} of ${all} rows, exactly computed`,
  masked: "masked: it comes later",
  largestInBlock: (weight: string, rows: number, cols: number) =>
    `${weight}, the largest in a block of ${rows} × ${cols}`,
  notANumber: "not a number",
  headNotRead: "The chosen head cannot be read.",
  weightsOf: (token: string) => `Weights of ${token}`,
  attendsTo: <T>(token: T): (T | string)[] => [token, " attends to"],
  largestOf: (most: number, count: number) => `the ${most} largest of ${whole(count)} weights`,
  asTable: (count: number) => `as a table (${whole(count)})`,
  mapAsTable: (rows: number, cols: number) => `the map as a table (${whole(rows)} × ${whole(cols)})`,
  queryByKey: "query \\ key",
  tableOf: (layer: number, head: number, token: string) => `Layer ${layer}, head ${head}: weights of ${token}`,
  position: "position",
  key: "key",
  weight: "weight",
};

export const sampling = {
  title: "Next token",
  keys: [
    ["↑ ↓", "walk the likeliest tokens; step a number"],
    ["← →", "move a slider; walk the tokens"],
    ["Enter", "take a typed number"],
  ] as readonly KeyHelp[],
  possible: (kept: number, size: number) => `${whole(kept)} of ${tokens(size)} possible`,
  entropy: (bits: string) => `entropy ${bits} bits`,
  likeliest: "Likeliest next tokens",
  barLength: "bar length: square root of the probability, from 0 to 1",
  unnamed: (id: number) => `token ${id}`,
  probability: (value: string) => `probability ${value}`,
  cut: "cut",
  more: (count: number, share: string) =>
    `${whole(count)} more ${count === 1 ? "token" : "tokens"}, ${share} of the mass`,
  ruledOut: (count: number) => `${tokens(count)} that the model itself rules out (logit −∞)`,
  cutBy: (filter: string, share: string, count: number) =>
    `cut by ${filter} · ${share} of the mass, ${tokens(count)}`,
  beforeCut: (filter: string) => `before it was cut by ${filter}`,
  rank: (rank: number) => `rank ${whole(rank)}`,
  asTable: (rows: number) => `the ${whole(rows)} likeliest as a table`,
  rankHead: "rank",
  tokenHead: "token",
  probabilityHead: "probability",
  cutHead: "cut by",
  settings: "Sampling settings",
  settingsHere: "settings",
  reset: "Reset",
  knobs: {
    temperature: {
      label: "temperature",
      meaning: "divides the scores: below 1 sharper, above 1 flatter, 0 always the likeliest token",
      allowed: "a number of at least 0 (0 = greedy)",
    },
    top_k: {
      label: "top-k",
      meaning: "keeps the k likeliest tokens; 0 is off",
      allowed: "a whole number of at least 0 (0 = off)",
    },
    top_p: {
      label: "top-p",
      meaning: "keeps the likeliest tokens that together reach this mass; 1 is off, 0 keeps only the likeliest",
      allowed: "a number from 0 to 1 (1 = off)",
    },
    min_p: {
      label: "min-p",
      meaning: "cuts what is less likely than this share of the likeliest token; 0 is off",
      allowed: "a number from 0 to 1 (0 = off)",
    },
    repetition_penalty: {
      label: "repetition",
      meaning: "above 1 makes the prompt's own tokens less likely, below 1 more likely",
      allowed: "a number above 0 (1 = off)",
    },
  },
  off: "off",
  greedy: "greedy",
  whole,
  greedyCut: "temperature 0: greedy",
  typed: (label: string) => `${label}, typed`,
  mustBe: (label: string, allowed: string, typed: string) => `${label} must be ${allowed}; ${typed} is not.`,
  seedMustBe: (typed: string) =>
    `The seed must be a whole number of at least 0, or empty for another draw each time; ${typed} is not.`,
  lengthMustBe: (most: number, typed: string) => `Tokens must be a whole number from 1 to ${whole(most)}; ${typed} is not.`,
  emptyField: "an empty field",
  penaltyTooFar: (penalty: number) =>
    `A repetition penalty of ${penalty} drives the scores beyond float32; choose a value nearer to 1.`,
  generation: "Generation",
  seed: "seed",
  seedMeaning: "the same seed draws the same tokens; empty draws others each time",
  noSeed: "none",
  atMost: "at most",
  generate: "Generate",
  stop: "Stop",
  promptFills: "the prompt fills the context",
  asked: "asked, waiting for the model",
  stopping: (count: number) => `stopping after ${tokens(count)}`,
  soFar: (count: number) => `${tokens(count)} so far`,
  stopped: (count: number) => `stopped after ${tokens(count)}`,
  failed: (count: number) => `failed after ${tokens(count)}`,
  ended: (why: string, count: number) => `${why} after ${tokens(count)}`,
  generated: "Generated tokens, after the end of the prompt",
  promptEnd: "the prompt's end",
  inPrompt: "prompt",
  continuesEarlier: "continues the earlier prompt",
  lineIsProbability: "the line under a token is its probability",
  withoutFilters: "sampled without filters",
};

export const attribution = {
  title: "Attribution",
  keys: [
    ["← →", "walk the tokens"],
    ["Enter", "ask why this token"],
    ["Shift Enter", "and not that one"],
  ] as readonly KeyHelp[],
  likeliest: "likeliest next tokens",
  whatClickAsks: "What a click asks",
  clickAsks: "a click asks",
  roles: { target: "why", against: "and not" },
  explainedToken: "explained",
  comparedWith: "compared with",
  probability: (value: string) => `probability ${value}`,
  typeOne: "or type one",
  explainAnother: "Explain another token: type it, with its leading space",
  oneToken: "one token, with its leading space; Enter asks",
  why: <T>(target: T): (T | string)[] => ["Why ", target],
  whyNot: <T>(target: T, against: T): (T | string)[] => ["Why ", target, " and not ", against],
  scored: "Tokens of the prompt with their scores",
  against: (limit: string) => `against ${limit}`,
  for: (limit: string) => `${limit} for`,
  shareOfExplained: (share: string) => `${share} of what is explained`,
  method: "Method",
  methods: {
    input_x_gradient: {
      label: "input × gradient",
      meaning: "the gradient at the prompt times the input: one pass, a first look",
    },
    integrated_gradients: {
      label: "integrated gradients",
      meaning: "the gradient averaged on the way from a baseline to the prompt: its scores add up",
    },
  },
  both: (one: string, other: string) => `${one} and ${other}`,
  notReady: (what: string) => `${what}: not ready yet`,
  ready: (what: string, percent: string) => `${what}: ${percent}`,
  untilThen: (sentence: string, method: string) => `${sentence}; ${method} is shown until then`,
  notSettled: (missing: string, change: string) =>
    `The integration has not settled: its scores miss the change they explain by ${missing} of ${change}.`,
  noShares: "These scores do not add up to what they explain: read them as a direction, not as shares.",
  noSharesBut: (delta: string) =>
    "These scores do not add up to what they explain: read them as a direction, not as shares. " +
    `Integrated gradients do (delta ${delta}).`,
  explained: "Explained",
  logitOf: <T>(target: T): (T | string)[] => ["logit of ", target],
  logitDifference: <T>(target: T, against: T): (T | string)[] => ["logit of ", target, " minus ", against],
  completeness: "Completeness",
  sumOfScores: "sum of scores",
  of: (part: string, whole: string) => `${part} of ${whole}`,
  baselineAlone: "Baseline alone",
  convergenceDelta: "Convergence delta",
  steps: (count: number) => `${count} steps`,
  asTable: "scores as a table",
  position: "position",
  token: "token",
};

export const workbench = {
  title: "Workbench",
  keys: [
    ["Ctrl Z", "undo, outside of a text field"],
    ["Ctrl Shift Z", "redo"],
  ] as readonly KeyHelp[],
  undo: "Undo",
  redo: "Redo",
  code: "Code",
  pythonCode: "Python that makes this exploration",
  edits: "Edits",
  remove: (edit: string) => `Remove ${edit}`,
  notInside: "This panel cannot be shown inside another.",
};
