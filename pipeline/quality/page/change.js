// What changed since the snapshot before, what failed, and how fast stages were.

function showChange(change, snapshot) {
  const card = byId("change-card");
  if (!change) {
    card.replaceChildren(
      el("p", { class: "lead" }, `There is no snapshot before ${snapshot} to compare with.`),
    );
    return;
  }
  const kinds = ["added", "removed", "changed"].map((kind) => `${number(change.counts[kind] ?? 0)} ${kind}`);
  card.replaceChildren(
    el(
      "p",
      { class: "lead" },
      `From snapshot ${change.older} (${change.created.slice(0, 16).replace("T", " ")} UTC) to ${change.newer}: recordings ${kinds.join(", ")}.`,
    ),
    el(
      "div",
      { class: "grid two" },
      part("Segments", change.segments, [
        ["What", (row) => row.what],
        ["Segments", (row) => number(row.segments), true],
        ["Audio", (row) => time(row.ms / 3.6e6), true],
      ]),
      part("By rule, of segments in both", change.rules, [
        ["Rule", (row) => words(row.rule)],
        ["Newly kept", (row) => `${number(row.kept)} (${time(row.kept_ms / 3.6e6)})`, true],
        ["Newly rejected", (row) => `${number(row.rejected)} (${time(row.rejected_ms / 3.6e6)})`, true],
      ]),
      part("Settings", change.settings, [
        ["Field", (row) => el("code", {}, plain(row.field))],
        ["Before", (row) => wild(row.before)],
        ["After", (row) => wild(row.after)],
      ]),
      part("Recordings", change.recordings, [
        ["Change", (row) => row.change],
        ["Source", (row) => wild(row.source)],
        ["Audio", (row) => time(row.duration_ms / 3.6e6), true],
      ]),
    ),
  );
}

const part = (title, rows, columns) =>
  el(
    "div",
    {},
    el("h3", {}, title),
    rows.length ? table(rows, columns) : el("p", { class: "note" }, "Nothing changed."),
  );

function showErrors(f) {
  const count = f.totals.errors.reduce((sum, error) => sum + error.count, 0);
  const card = byId("errors-card");
  if (!count) {
    card.replaceChildren(el("p", { class: "lead" }, "Every recording could be read and processed."));
    return;
  }
  const kinds = f.totals.errors.map((error) =>
    el("span", { class: "chip" }, `${words(error.reason)} in ${error.stage}: ${number(error.count)}`),
  );
  card.replaceChildren(
    el(
      "p",
      { class: "lead" },
      count > f.failures.length
        ? `The first ${f.failures.length} of ${number(count)}; "from errors" has them all.`
        : `${number(count)} in all. Nothing of these recordings is in the corpus.`,
    ),
    el("p", {}, kinds),
    table(f.failures, [
      ["Stage", (row) => row.stage],
      ["Reason", (row) => words(row.reason)],
      ["Source", (row) => wild(row.source)],
      ["Message", (row) => wild(row.message)],
    ]),
  );
}

function showSpeed(speed) {
  byId("speed-card").replaceChildren(
    el(
      "p",
      { class: "lead" },
      "How long workers took for the outputs of this configuration, in wall time of one worker.",
    ),
    table(speed, [
      ["Stage", (row) => words(row.stage)],
      ["Outputs", (row) => number(row.outputs), true],
      ["Audio", (row) => time(row.audio_hours), true],
      ["Worker time", (row) => time(row.worker_hours), true],
      ["Times real time", (row) => number(row.times_real_time, row.times_real_time < 100 ? 1 : 0), true],
    ]),
  );
}
