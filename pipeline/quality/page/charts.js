// Vega-Lite with the page's colours. A chart's place has its height before it is drawn.

const CLASSES = ["kept", "rejected", "non-speech", "outside spans", "error"];
const drawn = new Map(); // id -> {spec, view}
const wanted = new Map(); // id -> spec that is to be drawn next
const drawing = new Map(); // id -> promise
const isNarrow = () => innerWidth < 600;

function config() {
  const [ink, muted, line] = ["ink", "muted", "line"].map(colour);
  return {
    background: null,
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: {
      labelColor: muted,
      titleColor: muted,
      labelFontSize: 12,
      titleFontSize: 12,
      titleFontWeight: 400,
      gridColor: line,
      domain: false,
      ticks: false,
      labelPadding: 6,
      titlePadding: 8,
    },
    axisY: { labelColor: ink },
    legend: {
      labelColor: ink,
      titleColor: muted,
      labelFontSize: 12,
      symbolType: "square",
      orient: "top",
      title: null,
      offset: 8,
    },
    text: { color: ink, fontSize: 12 },
    bar: { cornerRadius: 1 },
  };
}

const classScale = (domain) => ({ domain, range: domain.map((name) => colour(name.replace(" ", "-"))) });

// Draws the newest spec that was asked for: a slider asks faster than charts are drawn.
function draw(id, spec) {
  wanted.set(id, spec);
  if (!drawing.has(id)) drawing.set(id, drawWanted(id));
  return drawing.get(id);
}

async function drawWanted(id) {
  byId(id).setAttribute("aria-busy", "true");
  while (wanted.has(id)) {
    const spec = wanted.get(id);
    wanted.delete(id);
    await drawNow(id, spec);
  }
  drawing.delete(id);
  byId(id).removeAttribute("aria-busy");
}

async function drawNow(id, spec) {
  const node = byId(id);
  drawn.get(id)?.view.finalize();
  drawn.delete(id);
  const own = spec(); // null where there is nothing to draw
  if (!own) {
    node.replaceChildren(el("p", { class: "note" }, "There is nothing to show."));
    return;
  }
  const full = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container",
    autosize: { type: "fit-x", contains: "padding" },
    padding: 0,
    config: config(),
    ...own,
  };
  const view = await vegaEmbed(node, full, {
    actions: false,
    renderer: "svg",
    ast: true,
    tooltip: { theme: "page" },
  });
  drawn.set(id, { spec, view });
}

const drawAll = () => Promise.all([...drawn].map(([id, { spec }]) => draw(id, spec)));
drawAgain.push(drawAll);

// Bars from left to right, one part of a row per class. Rows: {name, label, parts: {kept: hours}}
function stacked(rows, classes, height = 26) {
  const longest = Math.max(
    ...rows.map((row) => Object.values(row.parts).reduce((sum, hours) => sum + hours, 0)),
    0,
  );
  const [unit, per] = unitFor(longest);
  const values = rows.flatMap((row) =>
    classes
      .filter((name) => row.parts[name] > 1e-9)
      .map((name) => ({
        name: row.name,
        class: name,
        value: row.parts[name] * per,
        shown: time(row.parts[name]),
        order: CLASSES.indexOf(name),
        about: row.about,
      })),
  );
  if (!values.length) return () => null;
  return () => ({
    data: { values },
    height: rows.length * height,
    mark: { type: "bar", height: { band: 0.7 } },
    encoding: {
      y: {
        field: "name",
        type: "nominal",
        sort: rows.map((row) => row.name),
        title: null,
        axis: nameAxis(),
      },
      x: { field: "value", type: "quantitative", title: unit, stack: true, axis: { tickCount: 5 } },
      color: {
        field: "class",
        type: "nominal",
        scale: classScale(classes),
        legend: { columns: isNarrow() ? 2 : 5 },
      },
      order: { field: "order" },
      tooltip: [
        { field: "about", title: "of" },
        { field: "class", title: "class" },
        { field: "shown", title: "audio" },
      ],
    },
  });
}

// Long names lose their middle: files often differ at the end.
function nameAxis(more = {}) {
  const length = isNarrow() ? 20 : 32;
  const [head, tail] = [Math.ceil(length / 2) - 1, Math.floor(length / 2)];
  const labelExpr = `length(datum.label) > ${length} ? slice(datum.label, 0, ${head}) + '…' + slice(datum.label, -${tail}) : datum.label`;
  return { labelExpr, labelLimit: length * 9, ...more };
}

// A chart's place gets its height before the chart is there, so that nothing jumps.
function reserve(id, height) {
  byId(id).style.minHeight = `${height}px`;
}
