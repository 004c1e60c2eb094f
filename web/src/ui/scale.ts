// Round numbers for axes.

/** From 0 to at least `max`, about `wanted` steps of 1, 2 or 5 times a power of ten. */
export function niceTicks(max: number, wanted: number): number[] {
  const raw = Math.max(max, 1e-9) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
  const ticks: number[] = [];
  for (let index = 0; ; index++) {
    const tick = Number((index * step).toPrecision(12));
    ticks.push(tick);
    if (tick >= max) return ticks;
  }
}

const STEPS_S = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600];

/** Round moments of the local clock between two times, at most `most` of them. */
export function timeTicks(first: number, last: number, most: number): number[] {
  const seconds = (last - first) / 1000;
  const step = (STEPS_S.find((one) => seconds / one <= most) ?? 43_200) * 1000;
  const offset = new Date(first).getTimezoneOffset() * 60_000;
  const ticks: number[] = [];
  for (let tick = Math.ceil((first - offset) / step) * step + offset; tick <= last; tick += step)
    ticks.push(tick);
  return ticks;
}
