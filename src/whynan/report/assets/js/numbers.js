// Numbers as the rest of the page prints them, and the three axes of whynan/report/page/scale.py.

function number(value) {
  if (value === null || value === undefined) return "-";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size === 0 || (Number.isInteger(value) && size < 1e5)) return String(value);
  if (size >= 1e-3 && size < 1e5) return size < 1000 ? String(Number(value.toPrecision(3))) : value.toFixed(0);
  return value.toExponential(1).replace(/\.0e/, "e").replace(/e([+-])(\d)$/, "e$10$2");
}

function scaled(value, axis) {
  if (value === null) return null;
  if (axis === "log") return Math.log10(value);
  if (axis === "symlog") return Math.sign(value) * Math.log10(1 + Math.abs(value));
  return value;
}

function unscaled(position, axis) {
  if (axis === "log") return 10 ** position;
  if (axis === "symlog") return Math.sign(position) * (10 ** Math.abs(position) - 1);
  return position;
}

// What a tick says; on a linear axis with as many digits as tell it from the next one.
function tickLabel(position, axis, step) {
  if (axis === "linear") {
    if (position === 0 || step < 1e-4 || Math.abs(position) >= 1e5) return number(Number(position.toPrecision(6)));
    return position.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  }
  if (axis === "symlog" && position === 0) return "0";
  if (!Number.isInteger(position)) return number(unscaled(position, axis));
  const exponent = axis === "symlog" ? Math.abs(position) : position;
  const digits = [...String(exponent)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
  return `${axis === "symlog" && position < 0 ? "-" : ""}10${digits}`;
}
