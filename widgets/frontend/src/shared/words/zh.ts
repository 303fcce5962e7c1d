/** Every word the panels say, in Chinese; see `en.ts`. The compiler refuses what is missing here. */

import type * as en from "./en";

const whole = (count: number): string => count.toLocaleString("zh");
const tokens = (count: number): string => `${whole(count)} 个词元`;

export const shared: typeof en.shared = {
  language: "zh-Hans",
  tokens,
  listed: (parts) => parts.filter((part) => part !== "").join("，"),
  details: "详细信息",
  notDrawn: "面板绘制失败。",
  notRead: "无法读取图像数据。",
  noReason: "操作失败，原因不明。",
  keys: "快捷键",
  keysEverywhere: [
    ["Tab", "转到面板的下一部分"],
    ["Esc", "取消选择"],
    ["?", "显示或隐藏此列表"],
  ],
  colors: (low, high) => `颜色范围：${low} 到 ${high}`,
  prompt: "提示词",
  typePrompt: "输入提示词",
  tooLong: (count, most) =>
    `文本共 ${whole(count)} 个字符；超过 ${whole(most)} 个字符的文本不会发送给模型，请缩短。`,
  halfCharacter: "文本中有不成对的半个字符，模型会将其读作“\ufffd”。",
  states: { live: "实时", working: "计算中", error: "出错", waiting: "等待模型" },
  gone: "已断开：内核已重启或已退出",
  runAgain: "重新运行该单元格即可继续。",
  progress: "进度",
  promptTokens: "提示词的词元",
  token: (index) => `词元 ${index}`,
  position: (index) => `位置 ${index}`,
  id: (id) => `id ${id}`,
  showAll: (count) => `显示全部 ${tokens(count)}`,
};

export const attention: typeof en.attention = {
  title: "注意力",
  head: (layer, head) => `第 ${layer} 层 · 第 ${head} 头`,
  keys: [
    ["← →", "在层、键或词元间移动"],
    ["↑ ↓", "在注意力头或查询间移动"],
    ["Home End", "跳到首个或末个"],
    ["Enter", "选定单元格或词元"],
  ],
  hideFirst: "隐藏首个词元",
  whyHideFirst: "无事可做的注意力头往往指向首个词元；隐藏该列便于看清其余部分，权重本身不变。",
  fromThumbnail: "暂用缩略图的值，精确权重正在计算",
  heads: "注意力头",
  headCount: (layers, heads) => `${layers} 层 × ${heads} 头`,
  headCountUpTo: (layers, heads) => `${layers} 层 × 至多 ${heads} 头`,
  grid: (layers, heads) => `${layers} 层，每层 ${heads} 个注意力头`,
  chosen: (layer, head) => `第 ${layer} 层，第 ${head} 头`,
  announced: (layer, head, pair, weight) => `第 ${layer} 层第 ${head} 头：${pair} ${weight}`,
  map: (layer, head) => `第 ${layer} 层第 ${head} 头的注意力：行（查询）关注列（键）`,
  firstHidden: (percent) => `已隐藏首个词元：占总权重的 ${percent}%`,
  noHead: "未选择注意力头：点击任一头查看精确权重",
  blocks: (size) => `每格为 ${size} × ${size} 个权重中的最大值`,
  sampled: (rows, all) => `缩略图：从 ${all} 行中抽取 ${rows} 行，均为精确计算`,
  masked: "已掩码：位置在后",
  largestInBlock: (weight, rows, cols) => `${weight}，为 ${rows} × ${cols} 块中的最大值`,
  notANumber: "非数值（NaN）",
  headNotRead: "无法读取所选的注意力头。",
  weightsOf: (token) => `${token} 的注意力权重`,
  attendsTo: (token) => [token, " 关注"],
  largestOf: (most, count) => `${whole(count)} 个权重中最大的 ${most} 个`,
  asTable: (count) => `表格形式（${whole(count)} 项）`,
  tableOf: (layer, head, token) => `第 ${layer} 层第 ${head} 头：${token} 的注意力权重`,
  position: "位置",
  key: "键",
  weight: "权重",
};
