// What a chart says at the cursor, and the keys that move it: a slider along the steps.

function reading(chart, data, index) {
  const step = chart.steps[index];
  const mark = chart.values[index] === null && chart.marks.find(([first, last]) => step >= first && step <= last);
  const value = mark ? mark[2] + (mark[3] > 1 ? ` (${mark[3]} times)` : "") : number(chart.values[index]);
  const near = chart.unit === "step" ? [...data.alerts, ...data.actions].filter(([when]) => when === step) : [];
  return [`${chart.unit} ${step}: ${value}`, ...near.map(([, text]) => text)].join(" · ");
}

function startKeys(box, u, chart) {
  const last = chart.steps.length - 1;
  const role = { role: "slider", tabindex: "0", "aria-label": box.dataset.label, "aria-valuemin": "0", "aria-valuemax": String(last), "aria-valuenow": String(last) };
  for (const [name, value] of Object.entries(role)) box.setAttribute(name, value);
  box.setAttribute("aria-valuetext", box.closest("figure").querySelector(".readout").textContent);
  box.addEventListener("keydown", (event) => {
    const now = u.cursor.idx ?? last + 1;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 10, PageDown: now + 10, Home: 0, End: last }[event.key];
    if (event.key === "Escape") u.setCursor({ left: -10, top: -10 });
    if (next === undefined) return;
    event.preventDefault();
    const step = chart.steps[Math.min(Math.max(next, 0), last)];
    u.setCursor({ left: u.valToPos(Math.min(Math.max(step, u.scales.x.min), u.scales.x.max), "x"), top: 10 });
  });
}
