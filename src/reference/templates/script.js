// Makes pages handier; they read well without it.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

  // Colours in code. Split leaves what it found at odd places.
  const parts = /(^ *"\w+":|(?:^|\s)(?:#|\/\/) .*|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|`[^`]*`|\b(?:await|const|else|false|for|from|if|import|let|match|return|true|use)\b)/m;
  const kind = (part) =>
    /":$/.test(part) ? "key" : /^\s*[#/]/.test(part) ? "note" : /^\W/.test(part) ? "text" : "word";
  for (const code of all("pre code")) {
    const pieces = code.textContent.split(parts);
    code.replaceChildren(...pieces.map((textContent, at) =>
      at % 2 ? make("span", { textContent, className: kind(textContent) }) : textContent));
  }

  // Copy buttons, where there is a clipboard (https, localhost).
  for (const source of navigator.clipboard ? all("pre, .name code") : []) {
    const box = make("span", { className: "box" });
    const button = make("button", { textContent: "Copy" });
    source.replaceWith(box);
    box.append(source, button);
    button.onclick = async () => {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    };
  }

  // Samples become tabs; the language is remembered.
  const panels = all("[data-tab]");
  const tabs = panels.map(({ dataset }) => make("button", { role: "tab", textContent: dataset.tab }));
  const choose = (chosen) => tabs.forEach((tab, at) => {
    const hidden = tab !== chosen;
    Object.assign(tab, { ariaSelected: !hidden, tabIndex: -hidden });
    Object.assign(panels[at], { role: "tabpanel", ariaLabel: tab.textContent, hidden });
  });
  const tablist = make("div", { role: "tablist", ariaLabel: "Language" });
  tablist.append(...tabs);
  tablist.onclick = ({ target }) => {
    if (target === tablist) return;
    choose(target);
    target.focus();
    try { localStorage.language = target.textContent; } catch {}
  };
  tablist.onkeydown = ({ key, target }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) tabs.at((tabs.indexOf(target) + step) % tabs.length).click();
  };
  panels[0]?.before(tablist);
  let known;
  try { known = localStorage.language; } catch {}
  choose(tabs.find((tab) => tab.textContent === known) ?? tabs[0]);

  // Folded lists open on wide screens and on paper.
  const open = (selector) => all(selector).forEach((folded) => (folded.open = true));
  if (innerWidth > 990) open(".rules");
  onbeforeprint = () => open("details");

  // The filter shows what holds every word.
  const filter = all(".filter")[0];
  if (!filter) return;
  const input = all("#filter")[0];
  const items = all("[data-item]"), groups = all("[data-group]"), texts = {};
  for (const item of items) {
    const name = item.dataset.item, group = item.closest("[data-group]")?.dataset.group ?? "";
    texts[name] = `${texts[name] ?? ""} ${item.textContent} ${item.dataset.words ?? ""} ${group}`.toLowerCase();
  }
  const names = Object.keys(texts);
  const show = (typed) => {
    input.value = typed;
    const words = typed.toLowerCase().split(/[\s"',]+/);
    const found = names.filter((name) => words.every((word) => texts[name].includes(word)));
    for (const item of items) item.hidden = !found.includes(item.dataset.item);
    for (const section of all(".general")) section.hidden = !!typed;
    for (const group of groups) group.hidden = !group.querySelector("[data-item]:not([hidden])");
    all(".nothing")[0].hidden = found.length > 0 || !typed;
    all("output")[0].textContent = `${typed && found.length + " of "}${names.length} ${filter.dataset.noun}`;
  };
  input.oninput = () => show(input.value);
  onhashchange = () => show("");
  onkeydown = (event) => {
    if (event.key === "Escape") show("");
    if (event.target === input || event.key !== "/" || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    input.focus();
  };
  filter.hidden = false;
  show("");
})();
