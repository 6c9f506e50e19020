// What came of written conversations that were spoken: the yield, by voice and kind of text, and some
// of them to listen to.

function showSpoken(rows, conversations) {
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
  byId("spoken-conversations").querySelectorAll("audio").forEach(release);
  byId("spoken-conversations").replaceChildren(...conversations.map(conversationCard));
}

function conversationCard(conversation) {
  const kept = conversation.status === "kept";
  return el(
    "article",
    { class: `card segment ${kept ? "kept" : "rejected"}` },
    el(
      "p",
      { class: "where" },
      el("span", { class: "badge" }, conversation.status),
      wild(fileName(conversation.source), "bdi", { class: "file", title: plain(conversation.source) }),
    ),
    conversation.messages.map(messageBlock),
  );
}

function messageBlock(message) {
  const tries = message.attempts > 1 ? `, attempt ${number(message.attempts)}` : "";
  return el(
    "div",
    { class: "message" },
    el(
      "p",
      { class: "where" },
      el("span", { class: "strong" }, message.role),
      el("span", { class: "muted" }, " by ", wild(message.voice), tries),
    ),
    message.sounds.length
      ? el(
          "div",
          { class: "player" },
          sound({ segment_id: message.segment_id, start_ms: 0, audio_version: "in its surroundings" }, message.sounds),
        )
      : el("p", { class: "note" }, "The WORKDIR holds no audio of this message."),
    wild(message.text, "p", { class: "transcript" }),
    el(
      "p",
      { class: "note" },
      message.word_error ? ["heard as: ", wild(message.heard || "nothing")] : "heard as it was written",
    ),
    el("ul", { class: "broken" }, message.rules.map((rule) => el("li", {}, words(rule)))),
  );
}
