// Puts the page together; a live one asks again now and then.

const EVERY_MS = 3000;

function show(figures, samples) {
  drawn.forEach(({ view }) => view.finalize());
  drawn.clear();
  scores = figures.scores;
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
  showSpoken(figures.spoken, samples.conversations);
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
      notice(
        "connection",
        state.snapshot === null ? "There is no snapshot yet: figures come with the first one." : "",
      );
      if (state.snapshot !== null && state.snapshot !== shown && !isListening()) {
        const [figures, samples] = await Promise.all([ask("figures"), ask("samples")]);
        shown = figures.snapshot;
        show(figures, samples);
      }
    } catch (error) {
      notice("connection", `The dashboard does not answer: ${error.message}`);
    }
  };
  addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    notice("connection", `The dashboard does not answer: ${event.reason.message}`);
  });
  await look();
  setInterval(look, EVERY_MS);
}

// A new snapshot waits until nobody listens any more.
const isListening = () => [...document.querySelectorAll("audio")].some((audio) => !audio.paused);

function notice(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = !text;
}

startTheme();
for (const node of document.querySelectorAll("[data-height]"))
  node.style.minHeight = `${node.dataset.height}px`;
if (data.live) {
  for (const node of document.querySelectorAll("[data-live]")) node.hidden = false;
  watch();
} else {
  show(data.figures, data.samples);
}
addEventListener("resize", later(drawAll));
