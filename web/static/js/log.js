// A log that follows its end, unless the reader has scrolled away from it.

const PROBE = 160;

/** For `own` of a `pre`: brings it to `text`, keeping what is selected and where it is scrolled. */
export function follow(text) {
  return (pre) => {
    const isNew = !pre.firstChild;
    const isAtEnd = isNew || pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
    if (isNew) pre.append("");
    const node = pre.firstChild;
    if (node.data === text) return;
    const cut = overlap(node.data, text);
    if (cut < 0) node.data = text;
    else {
      // Selections survive what is deleted in front of them and added behind them.
      const added = text.slice(node.data.length - cut);
      node.deleteData(0, cut);
      node.appendData(added);
    }
    if (isAtEnd) pre.scrollTop = pre.scrollHeight;
  };
}

/** How much of the start of `old` is gone in `next`; -1 where `next` does not go on from it. */
function overlap(old, next) {
  if (!old || !next) return -1;
  const cut = old.indexOf(next.slice(0, PROBE));
  return cut >= 0 && next.startsWith(old.slice(cut)) ? cut : -1;
}
