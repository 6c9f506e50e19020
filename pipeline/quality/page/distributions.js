// How values are spread, with the thresholds that they are held against.

function showDistributions(all) {
  const cards = all.map((one) => {
    const beyond = one.below + one.above;
    const notes = [
      `${many(one.known, "segment")}`,
      one.unknown && `${number(one.unknown)} without a value`,
      beyond && `${number(beyond)} beyond the scale, in its end bars`,
    ];
    const score = scoreOf(one.column);
    const note = about(score);
    const unit = note ? el("span", { class: "unit" }, note) : null;
    return el(
      "figure",
      { class: "card" },
      el(
        "figcaption",
        {},
        el("h3", {}, score.title, " ", unit),
        el("p", {}, notes.filter(Boolean).join(", ")),
      ),
      el("div", { class: "chart", id: `distribution-${one.column}` }),
      figures(one.query, one.bins, [
        ["From", (bin) => short(bin.start), true],
        ["Kept", (bin) => number(bin.kept), true],
        ["Audio kept", (bin) => time(bin.kept_hours), true],
        ["Rejected", (bin) => number(bin.rejected), true],
        ["Audio rejected", (bin) => time(bin.rejected_hours), true],
      ]),
    );
  });
  byId("distribution-charts").replaceChildren(...cards);
  all.forEach((one) => reserve(`distribution-${one.column}`, 165));
  const redraw = () => all.forEach(drawDistribution);
  byId("measure").onchange = redraw;
  redraw();
}

function drawDistribution(one) {
  const score = scoreOf(one.column);
  const inHours = document.querySelector("[name=measure]:checked").value === "hours";
  const [unit, per] = inHours
    ? unitFor(Math.max(...one.bins.map((bin) => bin.kept_hours + bin.rejected_hours)))
    : ["segments", 1];
  const values = one.bins.flatMap((bin) =>
    ["kept", "rejected"].map((name, order) => ({
      from: bin.start,
      to: bin.start + one.width,
      class: name,
      order,
      value: (inHours ? bin[`${name}_hours`] : bin[name]) * per,
      about: `${short(bin.start)} to ${short(bin.start + one.width)}`,
      segments: number(bin[name]),
      audio: time(bin[`${name}_hours`]),
    })),
  );
  const lines = one.lines.map((line) => ({
    value: line.value,
    rule: words(line.rule),
    text: `${line.side === "min" ? "≥" : "≤"} ${short(line.value)}`,
    of: line.text_source === "asr" ? "recordings" : "labelled items",
    dash: line.text_source,
  }));
  const x = {
    type: "quantitative",
    title: null,
    axis: { tickCount: 6, grid: false },
    scale: { nice: false },
  };
  draw(`distribution-${one.column}`, () => ({
    height: 130,
    layer: [
      {
        data: { values },
        mark: { type: "bar", cornerRadius: 0, binSpacing: 0.5 },
        encoding: {
          x: { ...x, field: "from", bin: "binned" },
          x2: { field: "to" },
          order: { field: "order" },
          y: { field: "value", type: "quantitative", title: unit, stack: true, axis: { tickCount: 4 } },
          color: { field: "class", type: "nominal", scale: classScale(["kept", "rejected"]), legend: null },
          tooltip: [
            { field: "about", title: score.title },
            { field: "class" },
            { field: "segments" },
            { field: "audio" },
          ],
        },
      },
      {
        data: { values: lines },
        mark: { type: "rule", color: colour("ink"), strokeWidth: 1.5 },
        encoding: {
          x: { field: "value", type: "quantitative" },
          strokeDash: {
            field: "dash",
            scale: {
              domain: ["asr", "manifest"],
              range: [
                [1, 0],
                [4, 3],
              ],
            },
            legend: null,
          },
          tooltip: [{ field: "rule" }, { field: "text", title: "threshold" }, { field: "of" }],
        },
      },
      {
        data: { values: lines.filter((line) => line.dash === one.main) },
        mark: { type: "text", baseline: "bottom", fontSize: 11, fontWeight: 600 },
        encoding: { x: { field: "value", type: "quantitative" }, y: { value: -4 }, text: { field: "text" } },
      },
    ],
  }));
}
