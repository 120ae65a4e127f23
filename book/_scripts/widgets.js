// What the widgets of the book need beyond the html-manager that draws them. Pages with widgets load it.

// The widgets typeset their labels through MathJax 2's interface, which MathJax 3 lacks. They are drawn when the page
// has loaded, MathJax included.
window.addEventListener("load", () => {
  if (window.MathJax && !MathJax.Hub) {
    MathJax.Hub = {Queue: (call) => MathJax.startup.promise.then(() => MathJax.typesetPromise([call[2]]))};
  }
});

// A slider's handle has a role and a position but no name: it is named by the label beside it and the value shown.
function nameHandles() {
  for (const handle of document.querySelectorAll(".jupyter-widgets .noUi-handle:not([aria-labelledby])")) {
    const parts = handle.closest(".widget-inline-hbox").querySelectorAll(".widget-label, .widget-readout");
    for (const part of parts) {
      part.id ||= `widget-part-${nameHandles.count++}`;
    }
    handle.setAttribute("aria-labelledby", [...parts].map((part) => part.id).join(" "));
  }
}
nameHandles.count = 0;
new MutationObserver(nameHandles).observe(document, {childList: true, subtree: true});
