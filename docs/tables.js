// On a phone, extra.css shows each row of a table as a list: a cell needs the
// name of its column, and its content in one element beside it.
document$.subscribe(() => {
  for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, index) => {
        const content = document.createElement("div");
        content.append(...cell.childNodes);
        cell.append(content);
        cell.dataset.name = names[index];
        cell.classList.toggle("empty", !cell.textContent.trim());
      });
    }
  }
});
