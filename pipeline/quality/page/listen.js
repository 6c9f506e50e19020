// Segments to listen to: a card with waveform, player, transcript and scores.

const WIDTH = 240; // of a waveform: one bar a peak

function showListen(samples, total) {
  const shown = Object.keys(samples.segments).length;
  const cut = data.live ? "" : " Long ones are cut after 12 s.";
  byId("listen-note").textContent =
    `Accepted and rejected segments side by side, nearest to the rule's threshold first: ${number(shown)} of ${many(total, "segment")}.${cut}`;
  const groups = samples.groups.filter((group) => group.rule === null || group.rejected.length);
  const buttons = groups.map((group) =>
    el(
      "button",
      { type: "button", class: "pill", "aria-pressed": "false", onclick: () => choose(group) },
      group.rule === null ? "drawn by chance" : words(group.rule),
    ),
  );
  const choose = (group) => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(groups[i] === group)));
    byId("listen-sides").querySelectorAll("audio").forEach(release);
    const card = (id) =>
      id ? segmentCard(samples.segments[id], group.rule) : el("p", { class: "note" }, "No more segments.");
    const pairs = Array.from({ length: Math.max(group.rejected.length, group.accepted.length) }, (_, i) => [
      card(group.rejected[i]),
      card(group.accepted[i]),
    ]);
    byId("listen-sides").replaceChildren(el("h3", {}, "Rejected"), el("h3", {}, "Accepted"), ...pairs.flat());
  };
  byId("listen-rules").replaceChildren(...buttons);
  choose(groups.find((group) => group.rule !== null) ?? groups[0]);
}

function segmentCard(segment, rule) {
  const broken = segment.broken.map((one) =>
    el(
      "li",
      { class: one.rule === rule ? "strong" : "" },
      words(one.rule),
      one.value == null
        ? ""
        : el(
            "span",
            { class: "muted" },
            ": ",
            wild(short2(one.value)),
            " against ",
            wild(short2(one.threshold)),
          ),
    ),
  );
  const status = segment.status === "kept" ? "accepted" : segment.status;
  return el(
    "article",
    { class: `card segment ${segment.status}` },
    el(
      "p",
      { class: "where" },
      el("span", { class: "badge" }, status),
      wild(fileName(segment.source), "bdi", { class: "file", title: plain(segment.source) }),
      el("span", { class: "muted" }, ` ${clock(segment.start_ms)}–${clock(segment.end_ms)}`),
    ),
    player(segment),
    segment.text
      ? wild(segment.text, "p", { class: "transcript" })
      : el("p", { class: "transcript muted" }, "No text"),
    el("ul", { class: "broken" }, broken),
    el(
      "dl",
      { class: "scores" },
      scores
        .filter((score) => segment.scores[score.column] != null)
        .map((score) =>
          el(
            "div",
            { title: `${score.title}${inBrackets(about(score))}` },
            el("dt", {}, score.name),
            el("dd", {}, withUnit(segment.scores[score.column], score)),
          ),
        ),
      el("div", {}, el("dt", {}, "Speaker"), el("dd", {}, wild(segment.speaker))),
      el("div", {}, el("dt", {}, "Language"), el("dd", {}, wild(language(segment.language)))),
    ),
  );
}

const short2 = (value) => (typeof value === "number" ? short(value) : value);

// Waveform, sound and the choice between original and enhanced. The live server is asked for both.
function player(segment) {
  const place = el("div", { class: "player" });
  const show = (sounds) =>
    place.replaceChildren(
      ...(sounds.length
        ? sound(segment, sounds)
        : [el("p", { class: "note" }, "The WORKDIR holds no audio of this segment.")]),
    );
  if (!data.live) show(segment.sounds);
  else ask("sounds", { segment: segment.segment_id }).then(show, () => show([]));
  return place;
}

function sound(segment, sounds) {
  const used = sounds.find((one) => one.version === segment.audio_version) ?? sounds[0];
  const audio = el("audio", {
    controls: true,
    preload: "metadata",
    "aria-label": `Segment from ${clock(segment.start_ms)}`,
  });
  const wave = waveform(sounds, used, audio);
  const choose = (one) => {
    const [at, playing] = [audio.currentTime, !audio.paused];
    release(audio);
    audio.src = source(segment, one);
    audio.addEventListener(
      "loadedmetadata",
      () => {
        audio.currentTime = at;
        if (playing) audio.play();
      },
      { once: true },
    );
    wave.show(one);
  };
  audio.addEventListener("play", () =>
    document.querySelectorAll("audio").forEach((other) => other !== audio && other.pause()),
  );
  choose(used);
  const name = `version-${segment.segment_id}-${Math.random()}`;
  const versions =
    sounds.length < 2
      ? el("span", { class: "note" }, used.version === "original" ? "original, not enhanced" : used.version)
      : el(
          "fieldset",
          { class: "switch" },
          el("legend", {}, "Version"),
          sounds.map((one) =>
            el(
              "label",
              {},
              el("input", { type: "radio", name, checked: one === used, onchange: () => choose(one) }),
              ` ${one.version}`,
            ),
          ),
        );
  return [wave.node, el("div", { class: "row" }, audio, versions)];
}

const source = (segment, one) =>
  !one.webm
    ? `/api/audio?${new URLSearchParams({ segment: segment.segment_id, version: one.version })}`
    : URL.createObjectURL(new Blob([bytes(one.webm)], { type: "audio/webm" }));

function release(audio) {
  if (audio.src.startsWith("blob:")) URL.revokeObjectURL(audio.src);
}

// Peaks of the version that is heard, before those of the other; a click goes there.
function waveform(sounds, used, audio) {
  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    return node;
  };
  const loudest = Math.max(...sounds.flatMap((one) => [...bytes(one.peaks)]), 1);
  const height = (peak) => Math.max(1, (peak / loudest) * 46);
  const outline = (one) =>
    [...bytes(one.peaks)].map((peak, i) => `M${i + 0.5} ${50 - height(peak)}V${50 + height(peak)}`).join("");
  const node = svg("svg", {
    viewBox: `0 0 ${WIDTH} 100`,
    preserveAspectRatio: "none",
    class: "wave",
    "aria-hidden": "true",
  });
  const others = svg("path", { class: "other" });
  const mine = svg("path", { class: "mine" });
  const cursor = svg("line", { class: "cursor", y1: 0, y2: 100, x1: 0, x2: 0 });
  node.append(others, mine, cursor);
  node.addEventListener("click", (event) => {
    audio.currentTime = (event.offsetX / node.clientWidth) * audio.duration;
    audio.play();
  });
  audio.addEventListener("timeupdate", () => {
    const x = (audio.currentTime / audio.duration) * WIDTH || 0;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
  });
  const show = (one) => {
    mine.setAttribute("d", outline(one));
    others.setAttribute(
      "d",
      sounds
        .filter((other) => other !== one)
        .map(outline)
        .join(""),
    );
  };
  show(used);
  return { node, show };
}
