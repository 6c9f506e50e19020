// Hours by source, language and speaker; change, errors, speed.

function showHours(f) {
  const prefix = commonFolder(f.sources.map((share) => share.name));
  const kinds = [ // two tall ones beside each other, a low one below
    ["sources", "By source", f.sources, "from hours_by_source", "Recordings", (share) => plain(share.name).slice(prefix.length) || plain(share.name)],
    ["speakers", "By speaker", f.speakers, "from hours_by_speaker", "Segments", (share) => plain(share.name) + (share.recording ? ` · ${fileName(share.recording)}` : "")],
    ["languages", "By language", f.languages, "from hours_by_language", "Segments", (share) => language(share.name)],
  ];
  const notes = { sources: prefix ? el("p", {}, "Folders under ", wild(prefix), ", most input first.") : el("p", {}, "Folders, most input first."),
    languages: el("p", {}, "Of segments, as transcribed or labelled."), speakers: el("p", {}, "Most kept first. A speaker whom no manifest names is known within one recording.") };
  byId("hours-charts").replaceChildren(...kinds.map(([id, title]) => el("figure", { class: "card" },
    el("figcaption", {}, el("h3", {}, title), notes[id]), el("div", { class: "chart", id: `hours-${id}` }), el("div", { id: `hours-${id}-data` }))));
  for (const [id, , shares, query, counted, name] of kinds) showShares(id, shares, query, counted, name);
}

function showShares(id, shares, query, counted, name) {
  const rest = (share) => `${number(share.rest)} more`;
  const seen = new Map();
  const unique = (text) => { // rows with the same name stay apart
    seen.set(text, (seen.get(text) ?? 0) + 1);
    return seen.get(text) > 1 ? `${text} (${seen.get(text)})` : text;
  };
  const rows = shares.map((share) => ({
    name: unique(share.rest ? rest(share) : name(share)), about: share.rest ? rest(share) : plain(share.recording ?? share.name ?? "not named"),
    parts: { kept: share.kept, rejected: share.rejected, "non-speech": share.non_speech, error: share.error }, share,
  }));
  const classes = CLASSES.filter((one) => rows.some((row) => row.parts[one] > 1e-9));
  byId(`hours-${id}`).style.minHeight = `${rows.length * 26 + 66}px`;
  draw(`hours-${id}`, stacked(rows, classes));
  byId(`hours-${id}-data`).replaceChildren(figures(query, rows, [
    ["Name", (row) => wild(row.name)], ["Audio", (row) => time(row.share.hours), true], ["Kept", (row) => time(row.share.kept), true],
    ["Kept share", (row) => percent(row.share.kept, row.share.hours), true], [counted, (row) => number(row.share.count), true]]));
}

// The folder that all sources share, with its slash.
function commonFolder(names) {
  const paths = names.filter((name) => name != null).map((name) => plain(name));
  if (paths.length < 2) return "";
  let prefix = paths.reduce((one, other) => { let i = 0; while (i < one.length && one[i] === other[i]) i += 1; return one.slice(0, i); });
  if (paths.includes(prefix)) prefix = prefix.slice(0, -1);
  return prefix.slice(0, prefix.lastIndexOf("/") + 1);
}

function showChange(change, snapshot) {
  const card = byId("change-card");
  if (!change) {
    card.replaceChildren(el("p", { class: "lead" }, `There is no snapshot before ${snapshot} to compare with.`));
    return;
  }
  const kinds = ["added", "removed", "changed"].map((kind) => `${number(change.counts[kind] ?? 0)} ${kind}`);
  card.replaceChildren(
    el("p", { class: "lead" }, `From snapshot ${change.older} (${change.created.slice(0, 16).replace("T", " ")} UTC) to ${change.newer}: recordings ${kinds.join(", ")}.`),
    el("div", { class: "grid two" },
      part("Segments", change.segments, [["What", (row) => row.what], ["Segments", (row) => number(row.segments), true], ["Audio", (row) => time(row.ms / 3.6e6), true]]),
      part("By rule, of segments in both", change.rules, [["Rule", (row) => words(row.rule)], ["Newly kept", (row) => `${number(row.kept)} (${time(row.kept_ms / 3.6e6)})`, true], ["Newly rejected", (row) => `${number(row.rejected)} (${time(row.rejected_ms / 3.6e6)})`, true]]),
      part("Settings", change.settings, [["Field", (row) => el("code", {}, plain(row.field))], ["Before", (row) => wild(row.before)], ["After", (row) => wild(row.after)]]),
      part("Recordings", change.recordings, [["Change", (row) => row.change], ["Source", (row) => wild(row.source)], ["Audio", (row) => time(row.duration_ms / 3.6e6), true]])));
}

const part = (title, rows, columns) => el("div", {}, el("h3", {}, title), rows.length ? table(rows, columns) : el("p", { class: "note" }, "Nothing changed."));

function showErrors(f) {
  const count = f.totals.errors.reduce((sum, error) => sum + error.count, 0);
  const card = byId("errors-card");
  if (!count) {
    card.replaceChildren(el("p", { class: "lead" }, "Every recording could be read and processed."));
    return;
  }
  const kinds = f.totals.errors.map((error) => el("span", { class: "chip" }, `${words(error.reason)} in ${error.stage}: ${number(error.count)}`));
  card.replaceChildren(
    el("p", { class: "lead" }, count > f.failures.length ? `The first ${f.failures.length} of ${number(count)}; "from errors" has them all.` : `${number(count)} in all. Nothing of these recordings is in the corpus.`),
    el("p", {}, kinds),
    table(f.failures, [["Stage", (row) => row.stage], ["Reason", (row) => words(row.reason)], ["Source", (row) => wild(row.source)], ["Message", (row) => wild(row.message)]]));
}

function showSpeed(speed) {
  byId("speed-card").replaceChildren(
    el("p", { class: "lead" }, "How long workers took for the outputs of this configuration, in wall time of one worker."),
    table(speed, [["Stage", (row) => words(row.stage)], ["Outputs", (row) => number(row.outputs), true], ["Audio", (row) => time(row.audio_hours), true],
      ["Worker time", (row) => time(row.worker_hours), true], ["Times real time", (row) => number(row.times_real_time, row.times_real_time < 100 ? 1 : 0), true]]));
}
