// Light and dark: the system's choice unless the switch says otherwise.

const THEMES = ["system", "light", "dark"];
const probe = document.body.appendChild(el("i", { hidden: true }));
const drawAgain = []; // charts hold their colours: they are drawn anew

function storedTheme() {
  try {
    return localStorage.getItem("wavemill-theme") ?? "system";
  } catch {
    return "system"; // a page on disk may have no storage
  }
}

function setTheme(theme) {
  const known = THEMES.includes(theme) ? theme : "system";
  document.documentElement.dataset.theme = known;
  byId("theme").textContent = `Theme: ${known}`;
  try {
    localStorage.setItem("wavemill-theme", known);
  } catch {
    // it holds until the page is closed
  }
}

// Colours are custom properties of page.css.
function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

function startTheme() {
  setTheme(storedTheme());
  byId("theme").addEventListener("click", () => {
    const next = THEMES.indexOf(document.documentElement.dataset.theme) + 1;
    setTheme(THEMES[next % THEMES.length]);
    drawAgain.forEach((draw) => draw());
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    drawAgain.forEach((draw) => draw()),
  );
}
