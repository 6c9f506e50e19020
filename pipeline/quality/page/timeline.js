// One recording in order of time, as `wavemill show` prints it.

function showTimeline(samples) {
  const choice = byId("timeline-choice");
  const select = el("select", { id: "timeline-select" });
  const label = el("label", { for: "timeline-select" }, "Recording");
  if (!data.live) {
    const all = samples.timelines;
    const prefix = commonFolder(all.map((one) => one.source));
    select.append(...all.map((one, i) => el("option", { value: i }, plain(one.source).slice(prefix.length))));
    select.addEventListener("change", () => drawTimeline(all[select.value]));
    choice.replaceChildren(
      label,
      select,
      el(
        "span",
        { class: "note" },
        `${number(all.length)} of ${number(samples.recordings)} recordings; wavemill show prints any.`,
      ),
    );
    all.length ? drawTimeline(all[0]) : noTimeline();
    return;
  }
  const search = el("input", {
    type: "search",
    placeholder: "Search in names",
    "aria-label": "Search recordings",
  });
  const find = async () => {
    const found = await ask("recordings", { search: search.value });
    const prefix = commonFolder(found.rows.map((row) => row.source));
    select.replaceChildren(
      ...found.rows.map((row) =>
        el("option", { value: row.recording_id }, plain(row.source).slice(prefix.length)),
      ),
    );
    found.rows.length ? choose() : noTimeline();
  };
  const choose = async () => drawTimeline(await ask("timeline", { recording: select.value }));
  search.addEventListener("input", later(find));
  select.addEventListener("change", choose);
  choice.replaceChildren(label, select, search);
  find();
}

function noTimeline() {
  byId("timeline-summary").textContent = "There is no recording with segments to show.";
  draw("chart-timeline", () => null);
  byId("timeline-segments").replaceChildren();
}

function drawTimeline(one) {
  const kept = one.segments.filter((segment) => segment.status === "kept");
  const keptMs = kept.reduce((sum, segment) => sum + segment.end_ms - segment.start_ms, 0);
  const failed = one.errors
    .map((error) => ` Failed in ${error.stage}: ${words(error.reason)}: ${plain(error.message)}.`)
    .join("");
  byId("timeline-summary").textContent =
    `${time(one.duration_ms / 3.6e6)}: ${many(one.segments.length, "segment")}, ${number(kept.length)} kept (${time(keptMs / 3.6e6)}).${failed}`;
  const tracks = new Set(one.segments.map((segment) => segment.track)).size;
  const [unit, per] = one.duration_ms >= 300_000 ? ["min", 60_000] : ["s", 1000];
  const values = one.segments.map((segment) => ({
    from: segment.start_ms / per,
    to: segment.end_ms / per,
    speaker: (tracks > 1 ? `${segment.track}/` : "") + plain(segment.speaker),
    class: segment.status,
    at: `${clock(segment.start_ms)}–${clock(segment.end_ms)}`,
    text: plain(segment.text).slice(0, 120),
    why: why(segment),
  }));
  const speakers = [...new Set(values.map((value) => value.speaker))].sort();
  reserve("chart-timeline", speakers.length * 34 + 66);
  draw("chart-timeline", () => ({
    data: { values },
    height: speakers.length * 34,
    mark: { type: "bar", cornerRadius: 2, height: { band: 0.75 } },
    encoding: {
      y: {
        field: "speaker",
        type: "nominal",
        sort: speakers,
        title: null,
        axis: nameAxis({ grid: true }),
      },
      x: {
        field: "from",
        type: "quantitative",
        title: unit,
        scale: { domain: [0, one.duration_ms / per], nice: false },
        axis: { grid: false },
      },
      x2: { field: "to" },
      color: {
        field: "class",
        type: "nominal",
        scale: classScale(CLASSES.filter((name) => values.some((value) => value.class === name))),
        legend: {},
      },
      stroke: { value: colour("surface") },
      tooltip: [
        { field: "at", title: "time" },
        { field: "speaker" },
        { field: "class" },
        { field: "why" },
        { field: "text" },
      ],
    },
  }));
  byId("timeline-segments").replaceChildren(
    el(
      "details",
      { class: "figures" },
      el("summary", {}, "What is said"),
      table(one.segments, [
        ["From", (segment) => clock(segment.start_ms), true],
        ["To", (segment) => clock(segment.end_ms), true],
        ["Speaker", (segment) => wild(segment.speaker)],
        ["Verdict", (segment) => why(segment)],
        ["Text", (segment) => wild(segment.text)],
      ]),
    ),
  );
}

function why(segment) {
  if (segment.status !== "rejected" || !segment.first_rule) return segment.status;
  return (
    words(segment.first_rule) +
    (segment.value == null ? "" : ` (${short(segment.value)}, threshold ${short(segment.threshold)})`)
  );
}

// A function that runs once its caller has been quiet for a moment.
function later(run, ms = 250) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, ms);
  };
}
