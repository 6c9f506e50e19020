// All segments, page by page, from the live server; and the build that runs.

// Column, title, whether it is a number.
const columns = () => [
  ["source", "Source"],
  ["start_ms", "From", true],
  ["duration_s", "Seconds", true],
  ["speaker", "Speaker"],
  ["language", "Language"],
  ["status", "Verdict"],
  ...inTable().map(({ column, name, unit }) => [column, unit ? `${name}, ${unit}` : name, true]),
  ["text", "Text"],
];
const inTable = () => scores.filter((score) => score.in_table);
const asked_for = { sort: "source", descending: "", page: 0 };
let browsing = 0; // answers that are overtaken do not count

function showBrowse(f) {
  const option = (value, text) => el("option", { value }, text ?? words(value));
  const field = (text, input) => el("label", {}, text, input);
  const before = new FormData(byId("browse-form")); // of the snapshot that was shown till now
  byId("browse-form").replaceChildren(
    field("Transcript", el("input", { type: "search", name: "search", placeholder: "contains" })),
    field("Source", el("input", { type: "search", name: "source", placeholder: "contains" })),
    field("Speaker", el("input", { type: "search", name: "speaker" })),
    field(
      "Verdict",
      el(
        "select",
        { name: "status" },
        option("", "any"),
        ["kept", "rejected", "error", "unjudged"].map((one) => option(one)),
      ),
    ),
    field(
      "Rule",
      el(
        "select",
        { name: "rule" },
        option("", "any"),
        f.rules.map((rule) => option(rule.rule)),
      ),
    ),
    field(
      "Language",
      el(
        "select",
        { name: "language" },
        option("", "any"),
        f.languages.filter((one) => one.name).map((one) => option(plain(one.name))),
      ),
    ),
  );
  for (const [name, value] of before) byId("browse-form").elements[name].value = value;
  byId("browse-form").oninput = later(() => browse({ page: 0 }));
  byId("browse-form").onsubmit = (event) => event.preventDefault();
  browse({});
}

async function browse(change) {
  Object.assign(asked_for, change);
  const filters = Object.fromEntries(new FormData(byId("browse-form")));
  const mine = (browsing += 1);
  const found = await ask("segments", { ...asked_for, ...filters });
  if (mine !== browsing) return;
  const pages = Math.max(1, Math.ceil(found.total / found.size));
  const turn = (text, page) =>
    el(
      "button",
      {
        type: "button",
        class: "ghost",
        disabled: page < 0 || page >= pages,
        onclick: () => browse({ page }),
      },
      text,
    );
  byId("browse-table").replaceChildren(
    el(
      "div",
      { class: "row" },
      el("p", { role: "status" }, `${many(found.total, "segment")}, ${time(found.hours)}`),
      el(
        "div",
        { class: "turn" },
        turn("First", asked_for.page ? 0 : -1),
        turn("Previous", asked_for.page - 1),
        el("span", {}, `${number(asked_for.page + 1)} of ${number(pages)}`),
        turn("Next", asked_for.page + 1),
      ),
    ),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Segments" },
      el(
        "table",
        { class: "segments" },
        el(
          "thead",
          {},
          el("tr", {}, el("th", {}, el("span", { class: "hidden" }, "Play")), columns().map(heading)),
        ),
        el("tbody", {}, found.rows.flatMap(row)),
      ),
    ),
  );
}

function heading([column, title, isNumber]) {
  const mine = asked_for.sort === column;
  const arrow = mine ? (asked_for.descending ? " ↓" : " ↑") : "";
  return el(
    "th",
    {
      scope: "col",
      class: isNumber && "number",
      "aria-sort": mine ? (asked_for.descending ? "descending" : "ascending") : "none",
    },
    el(
      "button",
      {
        type: "button",
        class: "sort",
        onclick: () =>
          browse({ sort: column, descending: mine && !asked_for.descending ? "1" : "", page: 0 }),
      },
      title + arrow,
    ),
  );
}

function row(segment) {
  const detail = el("tr", { hidden: true, class: "detail" }, el("td", { colspan: columns().length + 1 }));
  const open = el(
    "button",
    {
      type: "button",
      class: "ghost small",
      "aria-expanded": "false",
      "aria-label": `Listen to ${fileName(segment.source)} from ${clock(segment.start_ms)}`,
      onclick: () => {
        detail.hidden = !detail.hidden;
        open.setAttribute("aria-expanded", String(!detail.hidden));
        detail.firstChild.replaceChildren(...(detail.hidden ? [] : [segmentCard(segment, null)]));
      },
    },
    "▶",
  );
  const digits = (value, count) => el("td", { class: "number" }, number(value, count));
  const wildCell = (value, shown = plain(value)) => el("td", { title: plain(value) }, wild(shown));
  return [
    el(
      "tr",
      {},
      el("td", {}, open),
      wildCell(segment.source, fileName(segment.source)),
      el("td", { class: "number" }, clock(segment.start_ms)),
      digits(segment.scores.duration_s, 1),
      wildCell(segment.speaker),
      wildCell(language(segment.language)),
      el(
        "td",
        { class: `status ${segment.status}` },
        segment.broken.length ? words(segment.broken[0].rule) : segment.status,
      ),
      inTable().map(({ column, digits: count }) => digits(segment.scores[column], count)),
      wildCell(segment.text),
    ),
    detail,
  ];
}

function showBuild(state) {
  const stages = state.stages.filter((stage) => stage.shards);
  byId("build-state").textContent = state.running ? `Running: ${state.running}` : "No build is running.";
  byId("build-stages").replaceChildren(
    ...(state.running ? stages : []).map((stage) =>
      el(
        "div",
        { class: "progress" },
        el("label", { for: `build-${stage.stage}` }, words(stage.stage)),
        el("progress", { id: `build-${stage.stage}`, max: stage.shards, value: stage.done }),
        el("span", { class: "number" }, `${number(stage.done)} of ${number(stage.shards)} shards`),
      ),
    ),
  );
}
