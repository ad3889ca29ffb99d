// As much of React as the plugin's tab needs: elements become DOM at every render, hooks keep their values by position
// in the tree of one page. The real one runs in Airflow's UI; this one lets a test look at the tab without Airflow.
(() => {
  const cells = new Map();
  let path = "", index = 0, queued = false, root = null;

  function createElement(tag, props, ...children) {
    return { tag, props: { ...props, children } };
  }
  function useState(first) {
    const [key, cell] = hook(() => ({ value: first }));
    const set = (next) => {
      cell.value = typeof next === "function" ? next(cell.value) : next;
      schedule();
    };
    return [cell.value, set, key];
  }
  function useEffect(effect, needs) {
    const [, cell] = hook(() => ({}));
    if (cell.needs && needs.every((need, i) => Object.is(need, cell.needs[i]))) return;
    cell.needs = needs;
    cell.end?.();
    cell.end = null;
    queueMicrotask(() => (cell.end = effect()));
  }
  function hook(make) {
    const key = `${path}#${index++}`;
    if (!cells.has(key)) cells.set(key, make());
    return [key, cells.get(key)];
  }
  function draw(element, where) {
    if (element === null || element === undefined || element === false) return [];
    if (Array.isArray(element)) return element.flatMap((one, i) => draw(one, `${where}/${i}`));
    if (typeof element !== "object") return [document.createTextNode(String(element))];
    const { tag, props } = element;
    if (typeof tag !== "function") return [place(tag, props, where)];
    const [outerPath, outerIndex] = [path, index];
    [path, index] = [`${where}<${tag.name}>`, 0];
    const made = tag(props);
    [path, index] = [outerPath, outerIndex];
    return draw(made, `${where}<${tag.name}>`);
  }
  const SVG = ["svg", "rect", "defs", "pattern", "path", "title"];
  const RENAMED = { tabIndex: "tabindex", strokeWidth: "stroke-width", strokeOpacity: "stroke-opacity" };
  function place(tag, { children, style, key, ...props }, where) {
    const made = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    Object.assign(made.style, style);
    for (const [name, value] of Object.entries(props)) {
      if (/^on[A-Z]/.test(name)) made.addEventListener(name.slice(2).toLowerCase(), value);
      else made.setAttribute(RENAMED[name] ?? name, value);
    }
    made.append(...draw(children, where));
    return made;
  }
  function schedule() {
    if (queued || !root) return;
    queued = true;
    queueMicrotask(() => {
      queued = false;
      const before = performance.now();
      root.place.replaceChildren(...draw(root.element, ""));
      root.place.getBoundingClientRect(); // with its layout
      globalThis.drawnIn = performance.now() - before;
    });
  }

  globalThis.React = { createElement, useState, useEffect };
  globalThis.render = (element, where) => {
    root = { element, place: where };
    schedule();
  };
})();
