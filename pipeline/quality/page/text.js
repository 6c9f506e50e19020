// Elements and words. What tables say enters the page here, and only as text.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Control characters, and those that turn the direction of writing, are shown as such; joiners are
// parts of words in some scripts. The same as in jobs/plain.py.
function plain(text) {
  return String(text ?? "")
    .replace(/\s/gu, " ")
    .replace(/[^\P{C}\u200c\u200d]/gu, "\ufffd");
}

// el("p", {class: "lead"}, "text", el("b", {}, "more"))
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

// Text of unknown direction and content: it does not mix with what stands beside it.
const wild = (text, tag = "bdi", attributes = {}) => el(tag, { dir: "auto", ...attributes }, plain(text));

function number(value, digits = 0) {
  if (value == null || Number.isNaN(value)) return "–";
  return value
    .toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    .replace("-", "−");
}

const UNITS = [
  ["h", 1],
  ["min", 60],
  ["s", 3600],
];
const unitFor = (hours) => UNITS.find(([, per]) => Math.abs(hours) * per >= 1) ?? UNITS[2];

// Hours as people read them: 1,234 h, 12.3 h, 4.5 min, 6.7 s
function time(hours) {
  if (hours == null) return "–";
  const [unit, per] = unitFor(hours);
  const value = hours * per;
  return `${number(value, value >= 100 || value === 0 ? 0 : 1)}\u00a0${unit}`;
}

const many = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
const percent = (part, whole) => (whole > 0 ? `${number((100 * part) / whole, 1)}%` : "–");
const signed = (value, show) => (value < 0 ? `−${show(-value)}` : `+${show(value)}`);

// Four significant digits at most, without a row of zeros.
const short = (value) =>
  value == null ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 4 }).replace("-", "−");

function clock(ms) {
  const pad = (value, length = 2) => String(value).padStart(length, "0");
  const seconds = Math.floor(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ""}${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}.${pad(Math.floor(ms % 1000), 3)}`;
}

const words = (name) =>
  plain(name)
    .replaceAll("_", " ")
    .replace(/\b(asr|dnsmos|snr)\b/g, (name) => name.toUpperCase());
const fileName = (source) => plain(source).split("/").pop();
const language = (code) => (code == null ? "not named" : plain(code));
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// What the page says of each score that it shows: figures.scores of what is shown now.
let scores = [];
const scoreOf = (column) => scores.find((score) => score.column === column);
const withUnit = (value, score) =>
  `${number(value, score.digits)}${score.unit && value != null ? `\u00a0${score.unit}` : ""}`;
const about = (score) =>
  [score.unit || score.scale, score.better && `${score.better} is better`].filter(Boolean).join(", ");
const inBrackets = (text) => (text ? ` (${text})` : "");

// A table: columns are [title, value of a row, is it a number]
function table(rows, columns) {
  const cell = (tag, isNumber, content) =>
    el(tag, { class: isNumber && "number", scope: tag === "th" && "col" }, content);
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table" },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          columns.map(([title, , isNumber]) => cell("th", isNumber, title)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            columns.map(([, value, isNumber]) => cell("td", isNumber, value(row))),
          ),
        ),
      ),
    ),
  );
}

// The figures of a chart, and the query that gives them, folded away.
function figures(query, rows, columns) {
  return el(
    "details",
    { class: "figures" },
    el("summary", {}, "Figures and query"),
    el("pre", {}, el("code", {}, query)),
    table(rows, columns),
  );
}

// fetch() of the live server; a page on disk has no network to ask.
async function ask(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null);
  const answer = await fetch(`/api/${path}?${new URLSearchParams(given)}`);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `HTTP ${answer.status}`);
  return answer.json();
}
