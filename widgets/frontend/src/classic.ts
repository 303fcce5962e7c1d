/**
 * What BertViz's own scripts ask require.js for, in one file that needs no network: jQuery and the parts of d3 that
 * they use, in the versions whose handlers they were written for.
 */

import { min } from "d3-array";
import { hsl } from "d3-color";
import { scaleOrdinal } from "d3-scale";
import { schemeCategory10 } from "d3-scale-chromatic";
import { select } from "d3-selection";
import jquery from "jquery/dist/jquery.slim.js";

const d3 = { version: "5.16.0", hsl, min, scaleOrdinal, schemeCategory10, select };

Object.assign(globalThis, {
  require: { config: () => {} },
  requirejs: (_names: readonly string[], run: (...modules: unknown[]) => void) => run(jquery, d3),
});
