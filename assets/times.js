// Tells moments in the browser's own time zone: the server knows them in UTC alone.
"use strict";
(() => {
  // In the page's language, and the browser's own kind of it where it has one.
  const language = document.documentElement.lang.split("-")[0];
  const locale = navigator.languages.find((one) => one.split("-")[0] === language) || language;
  const exact = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

  function tell(time) {
    const words = exact.format(new Date(time.dateTime));
    if (time.title !== words) time.title = words;
    const node = time.firstChild; // kept, since Vue writes into it
    if (time.matches(".pg-exact") && node && node.nodeValue !== words) node.nodeValue = words;
  }

  const tellAll = () => document.querySelectorAll("time[datetime]").forEach(tell);
  new MutationObserver(tellAll).observe(document.body, {
    subtree: true, childList: true, characterData: true, attributeFilter: ["datetime", "title"],
  });
  tellAll();
})();
