// Overview, funnel, distributions, rejections.

function showAbout(f) {
  byId("about").replaceChildren("Snapshot ", el("b", {}, String(f.snapshot)), `, ${f.created} UTC, `, wild(f.workdir));
  document.title = `Quality of snapshot ${f.snapshot}: wavemill`;
  byId("footer").textContent = `wavemill ${f.wavemill}. Times are UTC; hours are of audio.`;
  const lost = f.totals.discrepancies;
  byId("notice").hidden = !lost.length;
  byId("notice").textContent = `${number(lost.length)} recordings do not add up to their duration: "from discrepancies" in quality.duckdb names them.`;
}

function showHeadline(f) {
  const { totals: t, headline: h } = f;
  const errors = t.errors.reduce((sum, error) => sum + error.count, 0);
  const tiles = [
    ["Input", time(t.input_ms / 3.6e6), `${number(t.recordings)} recordings`],
    ["Kept", time(t.kept_ms / 3.6e6), `${percent(t.kept_ms, t.input_ms)} of input`, "kept"],
    ["Segments kept", number(h.kept_segments), `of ${number(h.segments)} (${percent(h.kept_segments, h.segments)})`],
    ["Speakers", number(h.speakers), "unnamed ones count per recording"],
    ["Median DNSMOS", number(h.median_dnsmos, 2), "of kept segments, 1 to 5"],
    ["Median SNR", h.median_snr_db == null ? "–" : `${number(h.median_snr_db, 1)}\u00a0dB`, "of kept segments"],
    ["Median confidence", number(h.median_confidence, 2), "of kept transcripts, 0 to 1"],
    ["Errors", number(errors), errors ? `in ${t.errors.length} kinds` : "nothing failed", errors ? "error" : ""],
  ];
  byId("headline").replaceChildren(...tiles.map(([name, value, note, kind]) =>
    el("div", { class: `tile ${kind ?? ""}` }, el("h3", {}, name), el("p", { class: "value" }, value), el("p", { class: "note" }, note))));
}

function showAccounting(t) {
  const rejected = t.rejected.reduce((sum, rule) => sum + rule.ms, 0);
  const all = { kept: t.kept_ms, rejected, "non-speech": t.non_speech_ms, "outside spans": t.unused_ms, error: t.error_ms };
  const classes = CLASSES.filter((name) => all[name] > 0);
  const parts = Object.fromEntries(classes.map((name) => [name, all[name] / 3.6e6]));
  const [unit, per] = unitFor(t.input_ms / 3.6e6);
  const values = classes.map((name, order) => ({ class: name, order, value: parts[name] * per, shown: `${time(parts[name])}, ${percent(all[name], t.input_ms)}` }));
  draw("chart-accounting", () => ({
    data: { values },
    height: 34,
    mark: { type: "bar", cornerRadius: 0 },
    encoding: {
      x: { field: "value", type: "quantitative", title: unit, scale: { domainMax: (t.input_ms / 3.6e6) * per, nice: false }, axis: { tickCount: 6, grid: false } },
      color: { field: "class", type: "nominal", scale: classScale(classes), legend: { columns: innerWidth < 600 ? 3 : 5 } },
      order: { field: "order" },
      tooltip: [{ field: "class", title: "class" }, { field: "shown", title: "audio" }],
    },
  }));
  const rows = [...classes.map((name) => [name, all[name]]), ...t.rejected.map((rule) => [`rejected first by ${words(rule.rule)}`, rule.ms]), ["input", t.input_ms]];
  byId("data-accounting").replaceChildren(figures("from accounting", rows, [
    ["Class", (row) => row[0]], ["Audio", (row) => time(row[1] / 3.6e6), true],
    ["Milliseconds", (row) => number(row[1]), true], ["Share", (row) => percent(row[1], t.input_ms), true]]));
}

function showFunnel(steps) {
  const longest = Math.max(...steps.map((step) => step.hours_in), 0);
  const [unit, per] = unitFor(longest);
  const lost = (step) => Math.max(0, step.hours_in - step.hours_out);
  const values = steps.flatMap((step) => [["goes on", step.hours_out], ["taken away", lost(step)]].map(([part, hours], order) => ({
    stage: words(step.stage), part, order, value: hours * per, shown: time(hours), recordings: `${number(step.recordings_in)} in, ${number(step.recordings_out)} out`,
  })));
  const label = steps.map((step) => ({
    stage: words(step.stage), value: step.hours_in * per, text: time(step.hours_out) + (lost(step) > 1e-9 ? ` (−${time(lost(step))})` : ""),
  }));
  const y = { field: "stage", type: "nominal", sort: steps.map((step) => words(step.stage)), title: null, axis: { labelLimit: labelLimit() } };
  draw("chart-funnel", () => ({
    height: steps.length * 28,
    encoding: { y, x: { type: "quantitative", title: unit, scale: { domainMax: longest * per * (innerWidth < 600 ? 1.9 : 1.25), nice: false }, axis: null } },
    layer: [
      { data: { values }, mark: { type: "bar", height: { band: 0.72 } }, encoding: {
        x: { field: "value" }, order: { field: "order" },
        color: { field: "part", type: "nominal", scale: { domain: ["goes on", "taken away"], range: [colour("kept"), colour("rejected")] }, legend: {} },
        tooltip: [{ field: "stage" }, { field: "part" }, { field: "shown", title: "audio" }, { field: "recordings" }] } },
      { data: { values: label }, mark: { type: "text", align: "left", dx: 6 }, encoding: { x: { field: "value" }, text: { field: "text" } } },
    ],
  }));
  byId("data-funnel").replaceChildren(figures("from funnel", steps, [
    ["Stage", (step) => words(step.stage)], ["In", (step) => time(step.hours_in), true], ["Out", (step) => time(step.hours_out), true],
    ["Recordings in", (step) => number(step.recordings_in), true], ["Out", (step) => number(step.recordings_out), true]]));
}

function showDistributions(all) {
  const cards = all.map((one) => {
    const beyond = one.below + one.above;
    const notes = [`${number(one.known)} segments`, one.unknown && `${number(one.unknown)} without a value`, beyond && `${number(beyond)} beyond the scale, in its end bars`];
    const unit = one.metric.unit ? el("span", { class: "unit" }, one.metric.unit) : null;
    return el("figure", { class: "card" }, el("figcaption", {}, el("h3", {}, one.metric.title, " ", unit), el("p", {}, notes.filter(Boolean).join(", "))),
      el("div", { class: "chart", id: `distribution-${one.metric.column}`, "data-height": 170 }));
  });
  byId("distribution-charts").replaceChildren(...cards);
  const redraw = () => all.forEach(drawDistribution);
  byId("measure").onchange = redraw;
  redraw();
}

function drawDistribution(one) {
  const inHours = document.querySelector("[name=measure]:checked").value === "hours";
  const [unit, per] = inHours ? unitFor(Math.max(...one.bins.map((bin) => bin.kept_hours + bin.rejected_hours))) : ["segments", 1];
  const values = one.bins.flatMap((bin) => ["kept", "rejected"].map((name, order) => ({
    from: bin.start, to: bin.start + one.width, class: name, order, value: (inHours ? bin[`${name}_hours`] : bin[name]) * per,
    about: `${short(bin.start)} to ${short(bin.start + one.width)}`, segments: number(bin[name]), audio: time(bin[`${name}_hours`]),
  })));
  const lines = one.lines.map((line) => ({
    value: line.value, rule: words(line.rule), text: `${line.side === "min" ? "≥" : "≤"} ${short(line.value)}`,
    of: line.text_source === "asr" ? "recordings" : "labelled items", dash: line.text_source,
  }));
  const x = { type: "quantitative", title: null, axis: { tickCount: 6, grid: false }, scale: { nice: false } };
  draw(`distribution-${one.metric.column}`, () => ({
    height: 130,
    layer: [
      { data: { values }, mark: { type: "bar", cornerRadius: 0, binSpacing: 0.5 }, encoding: {
        x: { ...x, field: "from", bin: "binned" }, x2: { field: "to" }, order: { field: "order" },
        y: { field: "value", type: "quantitative", title: unit, stack: true, axis: { tickCount: 4 } },
        color: { field: "class", type: "nominal", scale: classScale(["kept", "rejected"]), legend: null },
        tooltip: [{ field: "about", title: one.metric.title }, { field: "class" }, { field: "segments" }, { field: "audio" }] } },
      { data: { values: lines }, mark: { type: "rule", color: colour("ink"), strokeWidth: 1.5 }, encoding: {
        x: { field: "value", type: "quantitative" }, strokeDash: { field: "dash", scale: { domain: ["asr", "manifest"], range: [[1, 0], [4, 3]] }, legend: null },
        tooltip: [{ field: "rule" }, { field: "text", title: "threshold" }, { field: "of" }] } },
      ...[{ stroke: colour("surface"), strokeWidth: 4, strokeJoin: "round" }, {}].map((halo) => ({
        data: { values: lines.filter((line) => line.dash === one.main) }, mark: { type: "text", align: "left", baseline: "top", dx: 5, fontSize: 11, fontWeight: 600, ...halo },
        encoding: { x: { field: "value", type: "quantitative" }, y: { value: 0 }, text: { field: "text" } } })),
    ],
  }));
}

function showRules(rules) {
  const longest = Math.max(...rules.map((rule) => rule.hours), 0);
  const [unit, per] = unitFor(longest);
  const parts = (rule) => [["breaks no other rule", rule.only_hours, rule.only_segments], ["breaks others too", rule.hours - rule.only_hours, rule.segments - rule.only_segments]];
  const values = rules.flatMap((rule) => parts(rule).map(([part, hours, segments], order) => ({
    rule: words(rule.rule), part, order, value: hours * per, shown: time(hours), segments: number(segments) })));
  draw("chart-rules", () => ({
    data: { values },
    height: rules.length * 26,
    mark: { type: "bar", height: { band: 0.7 } },
    encoding: {
      y: { field: "rule", type: "nominal", sort: rules.map((rule) => words(rule.rule)), title: null, axis: { labelLimit: labelLimit() } },
      x: { field: "value", type: "quantitative", title: unit, axis: { tickCount: 5 } },
      color: { field: "part", type: "nominal", scale: { domain: ["breaks no other rule", "breaks others too"], range: [colour("rejected"), colour("rejected-light")] }, legend: { columns: innerWidth < 600 ? 1 : 2 } },
      order: { field: "order" },
      tooltip: [{ field: "rule" }, { field: "part" }, { field: "shown", title: "audio" }, { field: "segments" }],
    },
  }));
  byId("data-rules").replaceChildren(figures("from rejections_by_rule", rules, [
    ["Rule", (rule) => words(rule.rule)], ["Segments", (rule) => number(rule.segments), true], ["Audio", (rule) => time(rule.hours), true],
    ["First broken", (rule) => time(rule.first_hours), true], ["Only this", (rule) => time(rule.only_hours), true], ["Only this, segments", (rule) => number(rule.only_segments), true]]));
}
