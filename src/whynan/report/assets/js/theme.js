// Light, dark, or what the system says. Nothing is stored.

const THEMES = ["auto", "light", "dark"];

function startTheme(changed) {
  const button = document.getElementById("theme");
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "auto";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    button.textContent = `Theme: ${next}`;
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

// The colour that a custom property means now, as a canvas understands it.
function colour(name) {
  const probe = document.getElementById("theme");
  const before = probe.style.outlineColor;
  probe.style.outlineColor = `var(--${name})`;
  const found = getComputedStyle(probe).outlineColor;
  probe.style.outlineColor = before;
  return found;
}
