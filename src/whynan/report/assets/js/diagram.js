// The story of the value: choose an op by mouse or keys, zoom, pan, unfold. What the panel says is read from the table.

function startDiagram() {
  const canvas = document.querySelector(".canvas");
  if (!canvas) return;
  const drawings = [...canvas.querySelectorAll("svg")];
  for (const svg of drawings) prepare(svg);
  const shown = () => drawings.find((svg) => !svg.hasAttribute("hidden"));
  startZoom(canvas, shown, drawings);
  startPan(canvas);
  canvas.addEventListener("click", (event) => {
    const box = event.target.closest(".box");
    if (!box) return;
    if ("fold" in box.dataset) unfold(drawings, true);
    else choose(drawings, box);
  });
  canvas.addEventListener("keydown", (event) => keys(event, drawings, shown()));
  const button = document.querySelector("[data-unfold]");
  if (button) button.addEventListener("click", () => unfold(drawings, button.getAttribute("aria-pressed") === "false"));
  const first = [...shown().querySelectorAll(".box.born, .box.placed")].at(-1) || shown().querySelector("[data-step]");
  if (first) {
    choose(drawings, first);
    centre(first);
  }
}

// Boxes become the options of a list box; one of them is in the tab order.
function prepare(svg) {
  svg.setAttribute("role", "listbox");
  for (const box of svg.querySelectorAll(".box")) {
    box.setAttribute("role", "option");
    box.setAttribute("tabindex", "-1");
    box.setAttribute("aria-selected", "false");
  }
  for (const other of svg.querySelectorAll(".edge, .tip")) other.setAttribute("aria-hidden", "true");
  const first = svg.querySelector(".box");
  if (first) first.setAttribute("tabindex", "0");
}

function choose(drawings, box) {
  for (const svg of drawings) {
    const same = svg.querySelector(`[data-step="${box.dataset.step}"]`);
    for (const other of svg.querySelectorAll(".box")) {
      other.setAttribute("aria-selected", String(other === same));
      if (same) other.setAttribute("tabindex", other === same ? "0" : "-1");
    }
  }
  describe(document.querySelector(`[data-row="${box.dataset.step}"]`));
}

// Brings a box into the middle of the canvas, and leaves the page where it is.
function centre(box) {
  const canvas = box.closest(".canvas"), frame = canvas.getBoundingClientRect(), place = box.getBoundingClientRect();
  canvas.scrollLeft += place.left + place.width / 2 - frame.left - frame.width / 2;
  canvas.scrollTop += place.top + place.height / 2 - frame.top - frame.height / 2;
}

function describe(row) {
  const names = [...row.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  const title = document.createElement("h3");
  title.textContent = row.cells[0].textContent;
  const list = document.createElement("dl");
  [...row.cells].slice(1).forEach((cell, i) => {
    if (!cell.textContent.trim()) return;
    const name = document.createElement("dt"), value = document.createElement("dd");
    name.textContent = names[i + 1];
    value.append(...[...cell.childNodes].map((node) => node.cloneNode(true)));
    if (["Source", "Expression"].includes(names[i + 1])) [name, value].forEach((one) => one.classList.add("whole"));
    list.append(name, value);
  });
  document.getElementById("panel").replaceChildren(title, list);
}

function unfold(drawings, all) {
  const [folded, whole] = drawings;
  if (!whole) return;
  const had = folded.contains(document.activeElement) || whole.contains(document.activeElement);
  folded.toggleAttribute("hidden", all);
  whole.toggleAttribute("hidden", !all);
  document.querySelector("[data-unfold]").setAttribute("aria-pressed", String(all));
  const chosen = (all ? whole : folded).querySelector('[aria-selected="true"], [tabindex="0"]');
  if (!chosen) return;
  centre(chosen);
  if (had) chosen.focus({ preventScroll: true });
}

function keys(event, drawings, svg) {
  const box = event.target.closest(".box");
  if (!box) return;
  const boxes = [...svg.querySelectorAll(".box")], now = boxes.indexOf(box);
  const next = { ArrowDown: now + 1, ArrowRight: now + 1, ArrowUp: now - 1, ArrowLeft: now - 1, Home: 0, End: boxes.length - 1 }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    const target = boxes[Math.min(Math.max(next, 0), boxes.length - 1)];
    boxes.forEach((other) => other.setAttribute("tabindex", other === target ? "0" : "-1"));
    target.focus();
    if (target.dataset.step) choose(drawings, target);
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    if ("fold" in box.dataset) unfold(drawings, true);
  }
}

function startZoom(canvas, shown, drawings) {
  let zoom = 1;
  const apply = (value) => {
    const before = zoom, middle = [canvas.scrollLeft + canvas.clientWidth / 2, canvas.scrollTop + canvas.clientHeight / 2];
    zoom = Math.min(Math.max(value, 0.25), 3);
    for (const svg of drawings) {
      svg.setAttribute("width", String(svg.viewBox.baseVal.width * zoom));
      svg.setAttribute("height", String(svg.viewBox.baseVal.height * zoom));
    }
    const [x, y] = middle.map((at) => (at * zoom) / before); // what was in the middle stays there
    canvas.scrollTo(x - canvas.clientWidth / 2, y - canvas.clientHeight / 2);
  };
  const fit = () => {
    const view = shown().viewBox.baseVal;
    return Math.min((canvas.clientWidth - 4) / view.width, Math.max(canvas.clientHeight, 300) / view.height);
  };
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => apply({ in: zoom * 1.25, out: zoom / 1.25, fit: fit() }[button.dataset.zoom]));
  }
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls as usual; pinching sends ctrl
    event.preventDefault();
    apply(zoom * Math.exp(-event.deltaY / 300));
  }, { passive: false });
  const wide = Math.min(...drawings.map((svg) => canvas.clientWidth / svg.viewBox.baseVal.width));
  if (wide < 1) apply(Math.max(wide * 0.99, 0.7));
}

function startPan(canvas) {
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) from = [event.clientX + canvas.scrollLeft, event.clientY + canvas.scrollTop];
  });
  addEventListener("pointermove", (event) => {
    if (!from) return;
    canvas.classList.add("dragging");
    canvas.scrollTo(from[0] - event.clientX, from[1] - event.clientY);
  });
  addEventListener("pointerup", () => {
    from = null;
    canvas.classList.remove("dragging");
  });
}
