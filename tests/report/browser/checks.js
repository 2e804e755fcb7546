// Checks of the loaded page, in the manner of axe. Each returns a list of complaints; an empty one is good.
() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const say = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") || ""} "${(e.textContent || "").trim().slice(0, 30)}"`;

  const name = (e) => (e.getAttribute("aria-label") || (e.labels && e.labels[0] && e.labels[0].textContent)
    || (e.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join("")
    || e.textContent || "").trim();
  const nameless = all("button, a[href], input, summary, [tabindex='0'], [role=slider], [role=option], [role=img], [role=region], nav")
    .filter((e) => !name(e)).map(say);

  const headings = all("h1, h2, h3, h4").filter(shown);
  const levels = headings.map((e) => Number(e.tagName[1]));
  const order = [];
  if (levels.filter((level) => level === 1).length !== 1) order.push("not exactly one h1");
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) order.push(`${say(headings[i])} skips a level`); });

  const landmarks = ["header", "nav", "main", "footer"].filter((tag) => all(`body > ${tag}, body > header ${tag}`).length !== 1);
  const ids = all("[id]").map((e) => e.id);
  const twice = ids.filter((id, i) => ids.indexOf(id) !== i);

  // A colour as red, green, blue, alpha, whatever form it is written in: painted and read back.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (text) => {
    if (!known.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      known.set(text, [...canvas.getImageData(0, 0, 1, 1).data]);
    }
    return known.get(text);
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const back = (e) => {
    const svg = e.closest("svg");
    const own = svg && e.closest("g.box")?.querySelector("rect");
    if (own && rgba(getComputedStyle(own).fill)[3]) return rgba(getComputedStyle(own).fill);
    for (let at = e; at; at = at.parentElement) {
      const found = rgba(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255, 255];
  };
  const faint = [];
  for (const e of all("body *")) {
    const text = [...e.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
    const style = getComputedStyle(e);
    if (!text || !shown(e) || style.clipPath !== "none" || ["SCRIPT", "STYLE", "TITLE"].includes(e.tagName)) continue;
    const ink = rgba(e.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(back(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(`${say(e)} ${ratio.toFixed(2)}`);
  }
  return { nameless, order, landmarks, twice, faint: [...new Set(faint)] };
}
