// Hours by source, language and speaker.

function showHours(f) {
  const prefix = commonFolder(f.sources.map((share) => share.name));
  const kinds = [
    [
      "sources",
      "By source",
      f.sources,
      "from hours_by_source",
      "Recordings",
      (share) => plain(share.name).slice(prefix.length) || plain(share.name),
    ],
    [
      "speakers",
      "By speaker",
      f.speakers,
      "from hours_by_speaker",
      "Segments",
      (share) => plain(share.name) + (share.recording ? ` · ${fileName(share.recording)}` : ""),
    ],
    [
      "languages",
      "By language",
      f.languages,
      "from hours_by_language",
      "Segments",
      (share) => language(share.name),
    ],
  ];
  const notes = {
    sources: prefix
      ? el("p", {}, "Folders under ", wild(prefix), ", most input first.")
      : el("p", {}, "Folders, most input first."),
    languages: el("p", {}, "Of segments, as transcribed or labelled."),
    speakers: el("p", {}, "Most kept first. A speaker whom no manifest names is known within one recording."),
  };
  byId("hours-charts").replaceChildren(
    ...kinds.map(([id, title]) =>
      el(
        "figure",
        { class: `card ${id}` },
        el("figcaption", {}, el("h3", {}, title), notes[id]),
        el("div", { class: "chart", id: `hours-${id}` }),
        el("div", { id: `hours-${id}-data` }),
      ),
    ),
  );
  for (const [id, , shares, query, counted, name] of kinds) showShares(id, shares, query, counted, name);
}

function showShares(id, shares, query, counted, name) {
  const rest = (share) => `${number(share.rest)} more`;
  const seen = new Map();
  const unique = (text) => {
    // rows with the same name stay apart
    seen.set(text, (seen.get(text) ?? 0) + 1);
    return seen.get(text) > 1 ? `${text} (${seen.get(text)})` : text;
  };
  const rows = shares.map((share) => ({
    name: unique(share.rest ? rest(share) : name(share)),
    about: share.rest ? rest(share) : plain(share.recording ?? share.name ?? "not named"),
    parts: { kept: share.kept, rejected: share.rejected, "non-speech": share.non_speech, error: share.error },
    share,
  }));
  const classes = CLASSES.filter((one) => rows.some((row) => row.parts[one] > 1e-9));
  reserve(`hours-${id}`, rows.length * 26 + 66);
  draw(`hours-${id}`, stacked(rows, classes));
  byId(`hours-${id}-data`).replaceChildren(
    figures(query, rows, [
      ["Name", (row) => wild(row.name)],
      ["Audio", (row) => time(row.share.hours), true],
      ["Kept", (row) => time(row.share.kept), true],
      ["Kept share", (row) => percent(row.share.kept, row.share.hours), true],
      [counted, (row) => number(row.share.count), true],
    ]),
  );
}

// The folder that all sources share, with its slash.
function commonFolder(names) {
  const paths = names.filter((name) => name != null).map((name) => plain(name));
  if (paths.length < 2) return "";
  let prefix = paths.reduce((one, other) => {
    let i = 0;
    while (i < one.length && one[i] === other[i]) i += 1;
    return one.slice(0, i);
  });
  if (paths.includes(prefix)) prefix = prefix.slice(0, -1);
  return prefix.slice(0, prefix.lastIndexOf("/") + 1);
}
