/** Where a time lies on the bar, in thousandths of its width. Pure. */

export const WIDTH = 1000;
const MIN_WIDTH = 6;

/**
 * To scale, but each stretch is wide enough to be seen: a preemption of seconds matters in a training of days.
 *
 * @returns boxes `{x, width}`, one for each stretch, and `place(at)`, the x of a time.
 */
export function scaleOf(parts) {
  const whole = Math.max(parts.at(-1).until - parts[0].since, 0.001);
  const least = Math.min(MIN_WIDTH, WIDTH / parts.length / 2);
  const wide = parts.map((part) => Math.max((WIDTH * (part.until - part.since)) / whole, least));
  const shrink = WIDTH / wide.reduce((sum, one) => sum + one, 0);
  let x = 0;
  const boxes = wide.map((one) => {
    const box = { x, width: one * shrink };
    x += box.width;
    return box;
  });
  return { boxes, place: (at) => placeOf(at, parts, boxes) };
}

function placeOf(at, parts, boxes) {
  const index = parts.findLastIndex((part) => part.since <= at);
  if (index < 0) return 0;
  const { since, until } = parts[index];
  const share = until > since ? Math.min((at - since) / (until - since), 1) : 0;
  return boxes[index].x + share * boxes[index].width;
}
