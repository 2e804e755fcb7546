// Starts everything. The data is JSON in an element that no browser executes.

const data = JSON.parse(document.getElementById("data").textContent);
document.documentElement.classList.add("scripted");
const redraw = startCharts(data);
startTheme(redraw);
startCopy(data.patches);
startDiagram();
startHeat();
startSections();
startPrinting();

// The link of the section in view is marked.
function startSections() {
  const links = new Map([...document.querySelectorAll(".top nav a")].map((a) => [a.hash.slice(1), a]));
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      links.forEach((a, id) => (id === target.id ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current")));
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  links.forEach((_, id) => watcher.observe(document.getElementById(id)));
}

// On paper everything is open, but for tables that say what a drawing shows.
function startPrinting() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open], .same)")];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
}
