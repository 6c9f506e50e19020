// Puts the page together; a live one asks again now and then.

const EVERY_MS = 3000;

function show(figures, samples) {
  drawn.forEach(({ view }) => view.finalize());
  drawn.clear();
  showAbout(figures);
  showHeadline(figures);
  showAccounting(figures.totals);
  showFunnel(figures.funnel);
  showDistributions(figures.distributions);
  showHours(figures);
  showRules(figures.rules);
  showWhatIf(figures.what_if);
  showListen(samples, figures.headline.segments);
  showTimeline(samples);
  showChange(figures.change, figures.snapshot);
  showErrors(figures);
  showSpeed(figures.speed);
  if (data.live) showBrowse(figures);
}

async function watch() {
  let shown = null;
  const look = async () => {
    if (document.hidden && shown !== null) return;
    try {
      const state = await ask("state");
      showBuild(state);
      notice(state.snapshot === null ? "There is no snapshot yet: figures come with the first one." : "");
      if (state.snapshot !== null && state.snapshot !== shown) {
        const [figures, samples] = await Promise.all([ask("figures"), ask("samples")]);
        shown = figures.snapshot;
        show(figures, samples);
        notice(figures.totals.discrepancies.length ? byId("notice").textContent : "");
      }
    } catch (error) {
      notice(`The dashboard does not answer: ${error.message}`);
    }
  };
  await look();
  setInterval(look, EVERY_MS);
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

startTheme();
for (const node of document.querySelectorAll("[data-height]")) node.style.minHeight = `${node.dataset.height}px`;
if (data.live) {
  for (const node of document.querySelectorAll("[data-live]")) node.hidden = false;
  watch();
} else {
  show(data.figures, data.samples);
}
addEventListener("resize", later(drawAll));
