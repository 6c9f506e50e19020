// Vega-Lite with the page's colours. A chart's place has its height before it is drawn.

const CLASSES = ["kept", "rejected", "non-speech", "outside spans", "error"];
const drawn = new Map(); // id -> {spec, view}

function config() {
  const [ink, muted, line] = ["ink", "muted", "line"].map(colour);
  return {
    background: null,
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: {
      labelColor: muted, titleColor: muted, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400,
      gridColor: line, domain: false, ticks: false, labelPadding: 6, titlePadding: 8,
    },
    axisY: { labelColor: ink },
    legend: { labelColor: ink, titleColor: muted, labelFontSize: 12, symbolType: "square", orient: "top", title: null, offset: 8 },
    text: { color: ink, fontSize: 12 },
    bar: { cornerRadius: 1 },
  };
}

const classScale = (domain) => ({ domain, range: domain.map((name) => colour(name.replace(" ", "-"))) });

async function draw(id, spec) {
  const node = byId(id);
  drawn.get(id)?.view.finalize();
  const full = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", autosize: { type: "fit-x", contains: "padding" }, padding: 0, config: config(), ...spec(),
  };
  const view = await vegaEmbed(node, full, { actions: false, renderer: "svg", ast: true, tooltip: { theme: "page" } });
  drawn.set(id, { spec, view });
}

const drawAll = () => Promise.all([...drawn].map(([id, { spec }]) => draw(id, spec)));
drawAgain.push(drawAll);

// Bars from left to right, one part of a row per class. Rows: {name, label, parts: {kept: hours}}
function stacked(rows, classes, height = 26) {
  const longest = Math.max(...rows.map((row) => Object.values(row.parts).reduce((sum, hours) => sum + hours, 0)), 0);
  const [unit, per] = unitFor(longest);
  const values = rows.flatMap((row) => classes.filter((name) => row.parts[name] > 1e-9).map((name) => ({
    name: row.name, class: name, value: row.parts[name] * per, shown: time(row.parts[name]), order: CLASSES.indexOf(name), about: row.about,
  })));
  return () => ({
    data: { values },
    height: rows.length * height,
    mark: { type: "bar", height: { band: 0.7 } },
    encoding: {
      y: { field: "name", type: "nominal", sort: rows.map((row) => row.name), title: null, axis: { labelLimit: labelLimit() } },
      x: { field: "value", type: "quantitative", title: unit, stack: true, axis: { tickCount: 5 } },
      color: { field: "class", type: "nominal", scale: classScale(classes), legend: { columns: innerWidth < 600 ? 2 : 5 } },
      order: { field: "order" },
      tooltip: [{ field: "about", title: "of" }, { field: "class", title: "class" }, { field: "shown", title: "audio" }],
    },
  });
}

const labelLimit = () => (innerWidth < 600 ? 130 : 200);
