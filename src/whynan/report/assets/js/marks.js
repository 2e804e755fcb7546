// What a chart shows besides its line, drawn on the canvas of uPlot: values without a place, steps that matter, alerts.

function drawMarks(u, chart, data) {
  const ctx = u.ctx, ratio = devicePixelRatio, { left, top, width, height } = u.bbox;
  const at = (step) => u.valToPos(step, "x", true);
  const inside = (step) => step >= u.scales.x.min && step <= u.scales.x.max;
  ctx.save();
  if (chart.limit !== null) line(ctx, ratio, left, u.valToPos(scaled(chart.limit, chart.axis), "y", true), left + width, null, colour("warn"), [8, 4]);
  if (chart.unit === "step") {
    for (const [kind, step] of data.events.filter((event) => inside(event[1]))) {
      const [name, dash] = kind === "born" ? ["bad", [5, 3]] : ["soft", [2, 3]];
      line(ctx, ratio, at(step), top, null, top + height, colour(name), dash);
    }
    for (const [step] of data.alerts.filter((a) => inside(a[0]))) shape(ctx, ratio, at(step), top + height, "alert", colour("warn"));
    for (const [step] of data.actions.filter((a) => inside(a[0]))) shape(ctx, ratio, at(step), top + height, "action", colour("blue"));
  }
  for (const [first, last, kind] of chart.marks) {
    const below = kind === "-Inf" || kind === "0";
    for (const step of first === last ? [first] : [first, last]) {
      if (inside(step)) shape(ctx, ratio, at(step), below ? top + height : top, kind, colour(kind === "0" ? "soft" : "bad"));
    }
  }
  ctx.restore();
}

// A straight line; x2 or y2 of null means the same as the start.
function line(ctx, ratio, x1, y1, x2, y2, stroke, dash) {
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 1.5 * ratio;
  ctx.setLineDash(dash.map((length) => length * ratio));
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2 ?? x1, y2 ?? y1);
  ctx.stroke();
  ctx.setLineDash([]);
}

const SHAPES = {
  NaN: [[-4, -4], [4, 4], null, [4, -4], [-4, 4]],
  Inf: [[0, -5], [5, 4], [-5, 4]],
  "-Inf": [[0, 5], [5, -4], [-5, -4]],
  0: [[-2.5, -2.5], [2.5, -2.5], [2.5, 2.5], [-2.5, 2.5]],
  alert: [[0, -6], [6, 5], [-6, 5]],
  action: [[0, -6], [6, 0], [0, 6], [-6, 0]],
};

function shape(ctx, ratio, x, y, kind, paint) {
  ctx.beginPath();
  let start = true;
  for (const point of SHAPES[kind]) {
    if (point) ctx[start ? "moveTo" : "lineTo"](x + point[0] * ratio, y + point[1] * ratio);
    start = point === null;
  }
  if (kind === "NaN") {
    ctx.strokeStyle = paint;
    ctx.lineWidth = 2.2 * ratio;
    ctx.stroke();
  } else {
    ctx.closePath();
    ctx.fillStyle = paint;
    ctx.fill();
  }
}
