"use strict";
(function () {
  const MOST = 20, MOST_ALIKE = 5;
  const query = document.getElementById("query");
  const status = document.getElementById("status");
  const results = document.getElementById("results");
  let items = null;

  function load() {
    if (items === null) {
      items = JSON.parse(document.getElementById("index").textContent).map(function (entry) {
        return { id: entry[0], title: entry[1], codes: entry[2], text: (entry[0] + " " + entry[1]).toLowerCase() };
      });
    }
    return items;
  }

  function element(name, text, parent) {
    const made = document.createElement(name);
    made.textContent = text; // never markup: titles are what somebody has written
    parent.append(made);
    return made;
  }

  function inCommon(first, second) {
    let n = 0;
    for (let i = 0; i < first.length; i++) if (first[i] === second[i]) n++;
    return n;
  }

  function alike(item) {
    const own = item.codes.split("-");
    return load()
      .filter(function (other) { return other !== item; })
      .map(function (other) { return { other: other, n: inCommon(own, other.codes.split("-")) }; })
      .sort(function (a, b) { return b.n - a.n; })
      .slice(0, MOST_ALIKE)
      .filter(function (pair) { return pair.n > 0; });
  }

  function show(item) {
    const entry = element("li", "", results);
    element("span", item.title || item.id, entry);
    entry.append(" ");
    element("code", item.codes, entry);
    if (item.title) element("span", " " + item.id, entry).className = "size";
    const details = element("details", "", entry);
    element("summary", "Items that share most codes with it", details);
    details.addEventListener("toggle", function () {
      if (!details.open || details.querySelector("ul")) return;
      const list = element("ul", "", details);
      alike(item).forEach(function (pair) {
        const line = element("li", (pair.other.title || pair.other.id) + " ", list);
        element("code", pair.other.codes, line);
        element("span", " " + pair.n + (pair.n === 1 ? " code" : " codes") + " in common", line).className = "size";
      });
      if (!list.children.length) element("li", "None of the items on this page.", list);
    });
  }

  function search() {
    const asked = query.value.trim().toLowerCase();
    results.textContent = "";
    if (asked === "") { status.textContent = ""; return; }
    const isCodes = /^[0-9]+(-[0-9]+)*-?$/.test(asked);
    const prefix = asked.replace(/-$/, "") + "-";
    const found = load().filter(function (item) {
      return item.text.includes(asked) || (isCodes && (item.codes + "-").startsWith(prefix));
    });
    found.sort(function (a, b) { return (b.id.toLowerCase() === asked) - (a.id.toLowerCase() === asked); });
    status.textContent = found.length === 0 ? "No item." :
      found.length > MOST ? found.length + " items, the first " + MOST + ":" :
      found.length === 1 ? "1 item:" : found.length + " items:";
    found.slice(0, MOST).forEach(show);
  }

  let waiting = 0;
  query.addEventListener("input", function () { clearTimeout(waiting); waiting = setTimeout(search, 120); });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (details) { details.open = true; });
  });
})();
