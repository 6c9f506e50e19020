// What there is, where every hour went, and the funnel.

function showAbout(f) {
  byId("about").replaceChildren(
    "Snapshot ",
    el("b", {}, String(f.snapshot)),
    `, ${f.created} UTC, `,
    wild(f.workdir),
  );
  document.title = `Quality of snapshot ${f.snapshot}: wavemill`;
  byId("footer").textContent = `wavemill ${f.wavemill}. Times are UTC; hours are of audio.`;
  const lost = f.totals.discrepancies.length;
  const problem = `${many(lost, "recording")} do not add up to their duration: "from discrepancies" in quality.duckdb names them.`;
  notice("notice", lost ? problem : "");
}

function showHeadline(f) {
  const { totals: t, headline: h } = f;
  const errors = t.errors.reduce((sum, error) => sum + error.count, 0);
  const tiles = [
    ["Input", time(t.input_ms / 3.6e6), `${many(t.recordings, "recording")}`],
    ["Kept", time(t.kept_ms / 3.6e6), `${percent(t.kept_ms, t.input_ms)} of input`, "kept"],
    [
      "Segments kept",
      number(h.kept_segments),
      `of ${number(h.segments)} (${percent(h.kept_segments, h.segments)})`,
    ],
    ["Speakers", number(h.speakers), "unnamed ones count per recording"],
    ["Median DNSMOS", number(h.median_dnsmos, 2), "of kept segments, 1 to 5"],
    [
      "Median SNR",
      h.median_snr_db == null ? "–" : `${number(h.median_snr_db, 1)}\u00a0dB`,
      "of kept segments",
    ],
    ["Median confidence", number(h.median_confidence, 2), "of kept transcripts, 0 to 1"],
    [
      "Errors",
      number(errors),
      errors ? `in ${t.errors.length} kinds` : "nothing failed",
      errors ? "error" : "",
    ],
  ];
  byId("headline").replaceChildren(
    ...tiles.map(([name, value, note, kind]) =>
      el(
        "div",
        { class: `tile ${kind ?? ""}` },
        el("h3", {}, name),
        el("p", { class: "value" }, value),
        el("p", { class: "note" }, note),
      ),
    ),
  );
}

function showAccounting(t) {
  const rejected = t.rejected.reduce((sum, rule) => sum + rule.ms, 0);
  const all = {
    kept: t.kept_ms,
    rejected,
    "non-speech": t.non_speech_ms,
    "outside spans": t.unused_ms,
    error: t.error_ms,
  };
  const classes = CLASSES.filter((name) => all[name] > 0);
  const parts = Object.fromEntries(classes.map((name) => [name, all[name] / 3.6e6]));
  const [unit, per] = unitFor(t.input_ms / 3.6e6);
  const values = classes.map((name, order) => ({
    class: name,
    order,
    value: parts[name] * per,
    shown: `${time(parts[name])}, ${percent(all[name], t.input_ms)}`,
  }));
  draw("chart-accounting", () =>
    values.length
      ? {
          data: { values },
          height: 34,
          mark: { type: "bar", cornerRadius: 0 },
          encoding: {
            x: {
              field: "value",
              type: "quantitative",
              title: unit,
              scale: { domainMax: (t.input_ms / 3.6e6) * per, nice: false },
              axis: { tickCount: 6, grid: false },
            },
            color: {
              field: "class",
              type: "nominal",
              scale: classScale(classes),
              legend: { columns: isNarrow() ? 3 : 5 },
            },
            order: { field: "order" },
            tooltip: [
              { field: "class", title: "class" },
              { field: "shown", title: "audio" },
            ],
          },
        }
      : null,
  );
  const rows = [
    ...classes.map((name) => [name, all[name]]),
    ...t.rejected.map((rule) => [`rejected first by ${words(rule.rule)}`, rule.ms]),
    ["input", t.input_ms],
  ];
  byId("data-accounting").replaceChildren(
    figures(
      "select class, rule, sum(ms)::bigint as ms from accounting_classes group by all order by ms desc",
      rows,
      [
        ["Class", (row) => row[0]],
        ["Audio", (row) => time(row[1] / 3.6e6), true],
        ["Milliseconds", (row) => number(row[1]), true],
        ["Share", (row) => percent(row[1], t.input_ms), true],
      ],
    ),
  );
}

function showFunnel(steps) {
  const longest = Math.max(...steps.map((step) => step.hours_in), 0);
  const [unit, per] = unitFor(longest);
  const lost = (step) => Math.max(0, step.hours_in - step.hours_out);
  const values = steps.flatMap((step) =>
    [
      ["goes on", step.hours_out],
      ["taken away", lost(step)],
    ].map(([part, hours], order) => ({
      stage: words(step.stage),
      part,
      order,
      value: hours * per,
      shown: time(hours),
      recordings: `${number(step.recordings_in)} in, ${number(step.recordings_out)} out`,
    })),
  );
  const label = (step) => {
    const taken = lost(step) > 1e-9 && !isNarrow() ? ` (−${time(lost(step))})` : "";
    return { stage: words(step.stage), value: step.hours_in * per, text: time(step.hours_out) + taken };
  };
  const y = {
    field: "stage",
    type: "nominal",
    sort: steps.map((step) => words(step.stage)),
    title: null,
    axis: nameAxis(),
  };
  reserve("chart-funnel", steps.length * 28 + 30);
  draw("chart-funnel", () => ({
    height: steps.length * 28,
    encoding: {
      y,
      x: {
        type: "quantitative",
        title: unit,
        scale: { domainMax: longest * per * (isNarrow() ? 1.6 : 1.25), nice: false },
        axis: null,
      },
    },
    layer: [
      {
        data: { values },
        mark: { type: "bar", height: { band: 0.72 } },
        encoding: {
          x: { field: "value" },
          order: { field: "order" },
          color: {
            field: "part",
            type: "nominal",
            scale: { domain: ["goes on", "taken away"], range: [colour("kept"), colour("rejected")] },
            legend: {},
          },
          tooltip: [
            { field: "stage" },
            { field: "part" },
            { field: "shown", title: "audio" },
            { field: "recordings" },
          ],
        },
      },
      {
        data: { values: steps.map(label) },
        mark: { type: "text", align: "left", dx: 6 },
        encoding: { x: { field: "value" }, text: { field: "text" } },
      },
    ],
  }));
  byId("data-funnel").replaceChildren(
    figures("from funnel", steps, [
      ["Stage", (step) => words(step.stage)],
      ["In", (step) => time(step.hours_in), true],
      ["Out", (step) => time(step.hours_out), true],
      ["Recordings in", (step) => number(step.recordings_in), true],
      ["Out", (step) => number(step.recordings_out), true],
    ]),
  );
}
