// What the widgets of the book need beyond the html-manager that draws them. Pages with widgets load it.

// The widgets typeset their labels through MathJax 2's interface, which MathJax 3 lacks. They are drawn when the page
// has loaded, MathJax included.
window.addEventListener("load", () => {
  if (window.MathJax && !MathJax.Hub) {
    MathJax.Hub = {Queue: (call) => MathJax.startup.promise.then(() => MathJax.typesetPromise([call[2]]))};
  }
});

// What the widgets' HTML manager leaves out for those who do not see the page: a slider's name, its value in words, and
// word of what has changed in the picture.
document.addEventListener("DOMContentLoaded", () => {
  const set = (element, name, value) => {
    if (element && element.getAttribute(name) !== value) element.setAttribute(name, value);
  };

  const name = (slider) => {
    const handle = slider.querySelector("[role=slider]");
    const label = slider.querySelector(".widget-label");
    const readout = slider.querySelector(".widget-readout");
    if (!handle || !label || !readout) return;
    set(handle, "aria-label", label.textContent);
    // Without words it would be a place in a list, such as 3.
    set(handle, "aria-valuetext", readout.textContent);
    // The words of a choice cannot be typed over.
    set(readout, "contenteditable", "false");
    if (label.title === "null") label.removeAttribute("title");
  };

  const shown = (place) =>
    [...place.querySelectorAll("svg[role=img]")]
      .filter((picture) => picture.getBoundingClientRect().width)
      .map((picture) => picture.getAttribute("aria-label"))
      .pop() ?? "";

  for (const script of document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]')) {
    const place = script.parentElement;
    const news = document.createElement("div");
    news.className = "visually-hidden";
    news.setAttribute("aria-live", "polite");
    let words = "";
    let timer = 0;
    const tell = () => {
      const now = shown(place);
      if (now !== words) news.textContent = words = now;
    };
    new MutationObserver((changes) => {
      if (changes.every((change) => news.contains(change.target))) return;
      place.querySelectorAll(".widget-hslider").forEach(name);
      // The first picture is no news.
      words ||= shown(place);
      clearTimeout(timer);
      // One that is held down passes many pictures.
      timer = setTimeout(tell, 300);
    }).observe(place, {
      subtree: true, childList: true, characterData: true, attributes: true,
      attributeFilter: ["aria-valuetext", "class", "style"],
    });
    place.append(news);
  }
});
