// The charts of the history: uPlot on the steps, one cursor for all of them, moved by mouse or arrow keys.

const HEIGHT = 170;

function startCharts(data) {
  const charts = [...document.querySelectorAll("[data-chart]")].map((box) => makeChart(box, data));
  const zoom = (low, high) => {
    for (const { u, chart } of charts) {
      const steps = chart.steps;
      u.setScale("x", { min: Math.max(low, axisEnds(chart, data)[0]), max: Math.min(high, Math.max(axisEnds(chart, data)[1], steps.at(-1))) });
    }
  };
  for (const { u } of charts) {
    u.hooks.setSelect = [(one) => {
      if (one.select.width < 8) return;
      zoom(one.posToVal(one.select.left, "x"), one.posToVal(one.select.left + one.select.width, "x"));
      one.setSelect({ left: 0, width: 0 }, false);
      press(null);
    }];
    u.over.addEventListener("dblclick", () => { zoom(-Infinity, Infinity); press(buttons[0]); });
  }
  const buttons = [...document.querySelectorAll("[data-last]")];
  const press = (chosen) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === chosen)));
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const last = Number(button.dataset.last);
      zoom(last ? data.ends[1] - last : -Infinity, Infinity);
      press(button);
    });
  }
  return () => charts.forEach(({ u }) => u.redraw(false, true));
}

function axisEnds(chart, data) {
  if (chart.unit === "step") return data.ends;
  return [chart.steps[0], Math.max(chart.steps.at(-1), chart.steps[0] + 1)];
}

function makeChart(box, data) {
  const chart = data.charts[Number(box.dataset.chart)];
  const values = chart.values.map((value) => scaled(value, chart.axis));
  const readout = box.closest("figure").querySelector(".readout");
  const rest = readout.textContent;
  const say = (u) => {
    const text = u.cursor.idx == null ? rest : reading(chart, data, u.cursor.idx);
    readout.textContent = text;
    box.setAttribute("aria-valuetext", text);
    box.setAttribute("aria-valuenow", String(u.cursor.idx ?? chart.steps.length - 1));
  };
  const u = new uPlot(options(box, chart, data, say), [chart.steps, values], box);
  new ResizeObserver(() => { if (box.clientWidth) u.setSize({ width: box.clientWidth, height: HEIGHT }); }).observe(box);
  startKeys(box, u, chart);
  return { u, chart };
}

function options(box, chart, data, say) {
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const ink = { font, stroke: () => colour("soft") };
  const rule = { stroke: () => colour("line"), width: 1 };
  const [first, last] = axisEnds(chart, data);
  return {
    width: box.clientWidth || 320, height: HEIGHT, legend: { show: false }, padding: [12, 10, 0, 0],
    scales: {
      x: { time: false, range: (u, low, high) => (u.status ? [low, high] : [first, last]) },
      y: { range: (u, low, high) => yRange(u, chart, low, high, first, last) },
    },
    axes: [
      { ...ink, size: 26, space: 60, grid: { show: false }, ticks: { ...rule, size: 4 }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7, 1e8, 1e9] },
      { ...ink, size: 48, space: 36, grid: rule, ticks: { show: false }, values: (u, places, axis, space, step) => places.map((p) => tickLabel(p, chart.axis, step)), ...(chart.axis === "linear" ? {} : { incrs: [1, 2, 5, 10, 20, 50, 100] }) },
    ],
    series: [{}, { stroke: () => colour("blue"), width: 1.5, spanGaps: false, points: { size: 4, fill: () => colour("blue") } }],
    cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 8 }, sync: { key: "whynan", scales: ["x", null], setSeries: false } },
    hooks: { draw: [(one) => drawMarks(one, chart, data)], setCursor: [say] },
  };
}

// The whole axis while all steps are shown; when zoomed, what is visible, with some air.
function yRange(u, chart, low, high, first, last) {
  const x = u.scales.x;
  const zoomed = x.min != null && (x.min > first || x.max < last);
  const flat = !(high - low > 1e-3 * Math.max(Math.abs(low), Math.abs(high)));
  if (!zoomed || low === null || flat) return [chart.low, chart.high];
  const air = (high - low) * 0.08 || (chart.high - chart.low) * 0.05;
  return [low - air, high + air];
}
