// The number under the pointer in a heat map.

function startHeat() {
  for (const figure of document.querySelectorAll(".heat")) {
    const readout = figure.querySelector(".readout"), table = figure.querySelector("table");
    figure.querySelector(".scroll").scrollLeft = 1e6; // the last steps matter most
    const heads = table.tHead.rows[0].cells;
    table.addEventListener("pointerover", (event) => {
      const cell = event.target.closest("td");
      if (!cell) return;
      readout.textContent = `${cell.parentElement.cells[0].textContent}, step ${heads[cell.cellIndex].textContent}: ${cell.textContent || "not looked at"}`;
    });
    table.addEventListener("pointerleave", () => { readout.textContent = ""; });
  }
}
