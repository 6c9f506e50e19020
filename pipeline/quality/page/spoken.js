// What came of written conversations that were spoken: the yield, by voice and kind of text.

function showSpoken(rows) {
  byId("spoken").hidden = byId("spoken-link").hidden = rows.length === 0;
  if (rows.length === 0) return;
  const summed = (field) => {
    const groups = new Map();
    for (const row of rows) {
      const sum = groups.get(row[field]) ?? { name: row[field], clips: 0, kept: 0, wrong: 0, tries: 0, hours: 0 };
      sum.clips += row.clips;
      sum.kept += row.kept;
      sum.wrong += row.word_error * row.clips;
      sum.tries += row.attempts * row.clips;
      sum.hours += row.hours;
      groups.set(row[field], sum);
    }
    return [...groups.values()];
  };
  const columns = (title) => [
    [title, (row) => row.name],
    ["Clips", (row) => number(row.clips), true],
    ["Kept", (row) => percent(row.kept, row.clips), true],
    ["Word error", (row) => percent(row.wrong, row.clips), true],
    ["Attempts", (row) => number(row.tries / row.clips, 2), true],
    ["Audio", (row) => time(row.hours), true],
  ];
  byId("spoken-tables").replaceChildren(
    ...[
      ["voice", "Voice"],
      ["kind", "Kind of text"],
    ].map(([field, title]) => el("div", { class: "card" }, table(summed(field), columns(title)))),
  );
}
