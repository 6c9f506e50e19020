// What each rule rejected.

function showRules(rules) {
  const longest = Math.max(...rules.map((rule) => rule.hours), 0);
  const [unit, per] = unitFor(longest);
  const parts = (rule) => [
    ["breaks no other rule", rule.only_hours, rule.only_segments],
    ["breaks others too", rule.hours - rule.only_hours, rule.segments - rule.only_segments],
  ];
  const values = rules.flatMap((rule) =>
    parts(rule).map(([part, hours, segments], order) => ({
      rule: words(rule.rule),
      part,
      order,
      value: hours * per,
      shown: time(hours),
      segments: number(segments),
    })),
  );
  reserve("chart-rules", rules.length * 26 + 66);
  draw("chart-rules", () =>
    rules.length
      ? {
          data: { values },
          height: rules.length * 26,
          mark: { type: "bar", height: { band: 0.7 } },
          encoding: {
            y: {
              field: "rule",
              type: "nominal",
              sort: rules.map((rule) => words(rule.rule)),
              title: null,
              axis: nameAxis(),
            },
            x: { field: "value", type: "quantitative", title: unit, axis: { tickCount: 5 } },
            color: {
              field: "part",
              type: "nominal",
              scale: {
                domain: ["breaks no other rule", "breaks others too"],
                range: [colour("rejected"), colour("rejected-light")],
              },
              legend: { columns: isNarrow() ? 1 : 2 },
            },
            order: { field: "order" },
            tooltip: [
              { field: "rule" },
              { field: "part" },
              { field: "shown", title: "audio" },
              { field: "segments" },
            ],
          },
        }
      : null,
  );
  byId("data-rules").replaceChildren(
    figures("from rejections_by_rule", rules, [
      ["Rule", (rule) => words(rule.rule)],
      ["Segments", (rule) => number(rule.segments), true],
      ["Audio", (rule) => time(rule.hours), true],
      ["First broken", (rule) => time(rule.first_hours), true],
      ["Only this", (rule) => time(rule.only_hours), true],
      ["Only this, segments", (rule) => number(rule.only_segments), true],
    ]),
  );
}
