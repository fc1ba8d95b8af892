// A protected page that the browser kept for its Back button is asked for anew: it may show what has ended.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
