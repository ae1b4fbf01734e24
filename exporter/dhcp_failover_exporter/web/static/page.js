// Keeps the page current: fetches it again, and changes in the document only what differs, so that nothing
// flickers and focus, scroll position and selection stay. The server renders and filters; nothing is decided here.

const live = document.getElementById("live");
const contact = document.getElementById("contact");
const filter = document.getElementById("filter");
const typingMilliseconds = 150;
const patienceMilliseconds = 10_000;

let lastContact = new Date();
let timer;
let running;

async function refresh() {
  clearTimeout(timer);
  running?.abort("a newer request");
  const mine = (running = new AbortController());
  try {
    const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(patienceMilliseconds)]);
    show(await fetched(signal));
    told(true);
  } catch {
    if (running === mine) told(false);
  }
  if (running === mine) later();
}

function later() {
  timer = setTimeout(refresh, 1000 * Number(document.body.dataset.refreshSeconds));
}

async function fetched(signal) {
  const response = await fetch(location.href, { signal, cache: "no-store" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  // A relationship that is gone is a page, too; an error of something in between is not.
  if (!page.getElementById("live")) throw new Error(response.statusText);
  return page;
}

function show(page) {
  const focused = document.activeElement;
  document.title = page.title;
  document.body.dataset.refreshSeconds = page.body.dataset.refreshSeconds; // a reload may have changed it
  patch(live, page.getElementById("live"));
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function told(reached) {
  if (reached) lastContact = new Date();
  const time = lastContact.toLocaleTimeString();
  const text = reached ? "" : `${contact.dataset.lost} ${time}. What you see is from then.`;
  document.body.classList.toggle("lost", !reached);
  if (contact.textContent !== text) contact.textContent = text;
}

function patch(old, wanted) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  patchAttributes(old, wanted);
  patchChildren(old, wanted);
}

function patchAttributes(old, wanted) {
  if (old.nodeName === "DETAILS") return; // open or not is the reader's choice
  for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
}

function patchChildren(old, wanted) {
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = old.firstChild;
  for (const child of wanted.childNodes) {
    const match = child.id ? named.get(child.id) : next && alike(next, child) ? next : null;
    if (!match) {
      old.insertBefore(document.importNode(child, true), next);
      continue;
    }
    if (match === next) next = next.nextSibling;
    else old.insertBefore(match, next);
    patch(match, child);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && !one.id && !other.id;
}

function filtered() {
  const asked = new URLSearchParams([...new FormData(filter)].filter(([, value]) => value));
  history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
  clearTimeout(timer);
  timer = setTimeout(refresh, typingMilliseconds);
}

filter?.addEventListener("input", filtered);
filter?.addEventListener("submit", (event) => {
  event.preventDefault();
  filtered();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refresh();
  else clearTimeout(timer);
});
later();
