// Sliders for thresholds, and the curve of what each would keep.

let asked = 0;

function showWhatIf(all) {
  const card = byId("what-if-card");
  if (!all.length) {
    card.replaceChildren(el("p", { class: "lead" }, "No segment was judged yet."));
    return;
  }
  const models = all.map((given) => new Model(given));
  const kinds = { asr: "recordings", manifest: "labelled items" };
  const choice =
    models.length < 2
      ? null
      : el(
          "fieldset",
          { class: "switch", onchange: (event) => showModel(models[event.target.value]) },
          el("legend", {}, "Rules for"),
          models.map((model, i) =>
            el(
              "label",
              {},
              el("input", { type: "radio", name: "what-if-kind", value: i, checked: i === 0 }),
              ` ${kinds[model.text_source]}`,
            ),
          ),
        );
  card.replaceChildren(
    el(
      "div",
      { class: "row" },
      el(
        "p",
        { class: "lead" },
        "Move a threshold, or switch a rule off. Every other rule keeps acting, so hours count once. Overlapping segments count each.",
      ),
      choice,
    ),
    el(
      "div",
      { class: "what-if" },
      el(
        "div",
        {},
        el("output", { id: "what-if-result", "aria-live": "polite" }),
        el("div", { id: "chart-what-if", class: "chart", "data-height": 350 }),
        el("p", { class: "note", id: "what-if-note" }),
        el("pre", { id: "what-if-command", hidden: true }, el("code", {})),
      ),
      el("div", { id: "what-if-knobs", class: "knobs" }),
    ),
  );
  showModel(models[0]);
}

function showModel(model) {
  model.moved.clear();
  const exact = model.sampled === model.segments;
  byId("what-if-note").textContent = exact
    ? `Computed from all ${many(model.segments, "segment")}.`
    : `Estimated from ${number(model.sampled)} of ${many(model.segments, "segment")}, drawn by chance${data.live ? "; the figures above are exact once they settle" : ""}.`;
  const byWeight = [...model.knobs.keys()].sort((a, b) => broken(model, b) - broken(model, a));
  byId("what-if-knobs").replaceChildren(...byWeight.map((index) => knob(model, index)));
  showResult(model, byWeight[0]);
}

const broken = (model, index) => model.masks.reduce((sum, mask) => sum + ((mask >>> index) & 1), 0);

function knob(model, index) {
  const { rule, side, value, low, high } = model.knobs[index];
  const id = `knob-${rule}`;
  const start = value ?? (side === "min" ? low : high);
  const [from, to] = [Math.min(low, start), Math.max(high, start)];
  const step = (to - from) / STEPS || 1;
  const slider = el("input", {
    type: "range",
    id,
    min: from,
    max: to,
    step: "any",
    value: start,
    disabled: value === null,
  });
  const field = el("input", {
    type: "number",
    step: "any",
    value: Number(start.toPrecision(4)),
    "aria-label": `${words(rule)}: threshold`,
    disabled: value === null,
  });
  const on = el("input", { type: "checkbox", checked: value !== null, "aria-label": `${words(rule)}: on` });
  const set = (threshold) => {
    if (threshold === value) model.moved.delete(index);
    else model.moved.set(index, threshold);
    slider.disabled = field.disabled = threshold === null;
    slider.setAttribute("aria-valuetext", threshold === null ? "off" : short(threshold));
    node.classList.toggle("moved", model.moved.has(index));
    showResult(model, index);
  };
  slider.addEventListener("input", () => {
    field.value = Number(slider.valueAsNumber.toPrecision(4));
    set(field.valueAsNumber);
  });
  slider.addEventListener("keydown", (event) => {
    // "any" has no steps of its own for the arrows
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[
      event.key
    ];
    if (!by) return;
    event.preventDefault();
    slider.valueAsNumber = Number((slider.valueAsNumber + by * step).toPrecision(4));
    slider.dispatchEvent(new Event("input"));
  });
  field.addEventListener("input", () => {
    if (!Number.isNaN(field.valueAsNumber)) {
      slider.valueAsNumber = field.valueAsNumber;
      set(field.valueAsNumber);
    }
  });
  on.addEventListener("change", () => set(on.checked ? field.valueAsNumber : null));
  const back = el(
    "button",
    {
      type: "button",
      class: "ghost small",
      "aria-label": `${words(rule)}: back to ${value === null ? "off" : short(value)}`,
      onclick: () => {
        slider.valueAsNumber = start;
        field.value = Number(start.toPrecision(4));
        on.checked = value !== null;
        set(value);
      },
    },
    "reset",
  );
  const node = el(
    "div",
    { class: "knob" },
    on,
    el(
      "label",
      { for: id },
      words(rule),
      " ",
      el("span", { class: "unit" }, side === "min" ? "at least" : "at most"),
    ),
    field,
    slider,
    back,
  );
  node.addEventListener("focusin", () => showResult(model, index));
  return node;
}

function showResult(model, index) {
  const now = model.keptNow();
  const state = (hours, count) => {
    const change = hours - model.kept_hours;
    byId("what-if-result").replaceChildren(
      el("span", { class: "value" }, time(Math.max(0, hours))),
      el("span", {}, ` kept, ${many(count, "segment")}`),
      el(
        "span",
        { class: change < 0 ? "less" : "more" },
        Math.abs(change) < 1e-9
          ? "as it is now"
          : `${signed(change, time)} (${signed((100 * change) / (model.kept_hours || 1), (value) => number(value, 1))}%)`,
      ),
    );
  };
  state(now.hours, now.count);
  showCommand(model);
  drawCurve(model, index);
  if (data.live && model.sampled < model.segments) askExactly(model, state);
}

function askExactly(model, state) {
  const mine = (asked += 1);
  setTimeout(async () => {
    if (mine !== asked) return;
    const moved = [...model.moved].map(([index, threshold]) => [model.knobs[index].rule, threshold ?? "off"]);
    const found = await ask("what-if", { kind: model.text_source, ...Object.fromEntries(moved) });
    if (mine === asked) state(found.hours, found.segments);
  }, 200);
}

function showCommand(model) {
  const node = byId("what-if-command");
  node.hidden = !model.moved.size;
  const settings = [...model.moved].map(
    ([index, threshold]) => ` \\\n  --set ${model.knobs[index].setting}=${threshold ?? "null"}`,
  );
  node.firstChild.textContent = `wavemill refresh WORKDIR${settings.join("")}`;
}

function drawCurve(model, index) {
  const { rule, value } = model.knobs[index];
  const moved = model.moved.get(index);
  const points = model.curve(index);
  const [unit, per] = unitFor(Math.max(...points.map((point) => point.hours)));
  const values = points.map((point) => ({
    threshold: point.threshold,
    value: Math.max(0, point.hours) * per,
    shown: time(point.hours),
    at: short(point.threshold),
  }));
  const lines = [
    value !== null && { at: value, what: "now" },
    moved != null && { at: moved, what: "moved" },
  ].filter(Boolean);
  const marks = {
    x: { field: "at", type: "quantitative" },
    color: {
      field: "what",
      type: "nominal",
      scale: { domain: ["now", "moved"], range: [colour("muted"), colour("rejected")] },
      legend: null,
    },
  };
  draw("chart-what-if", () => ({
    height: 300,
    layer: [
      {
        data: { values },
        mark: {
          type: "area",
          line: { color: colour("kept"), strokeWidth: 2 },
          color: colour("kept"),
          fillOpacity: 0.15,
          interpolate: "step",
        },
        encoding: {
          x: {
            field: "threshold",
            type: "quantitative",
            title: `threshold of ${words(rule)}`,
            scale: { nice: false },
            axis: { tickCount: 6, grid: false },
          },
          y: { field: "value", type: "quantitative", title: `${unit} kept`, axis: { tickCount: 4 } },
          tooltip: [
            { field: "at", title: "threshold" },
            { field: "shown", title: "kept" },
          ],
        },
      },
      { data: { values: lines }, mark: { type: "rule", strokeWidth: 2 }, encoding: marks },
      {
        data: { values: lines },
        mark: { type: "text", align: "left", dx: 4, baseline: "top" },
        encoding: { ...marks, y: { value: 0 }, text: { field: "what" } },
      },
    ],
  }));
}
