/** Parts of other libraries that BertViz's scripts use without types; see classic.ts. */
declare module "jquery/dist/jquery.slim.js" {
  const jquery: unknown;
  export default jquery;
}
declare module "d3-array" {
  export const min: unknown;
}
declare module "d3-color" {
  export const hsl: unknown;
}
declare module "d3-scale" {
  export const scaleOrdinal: unknown;
}
declare module "d3-scale-chromatic" {
  export const schemeCategory10: unknown;
}
declare module "d3-selection" {
  export const select: unknown;
}
