/** When a device works: windows of virtual time. Work that is asked for outside of them waits, and pauses where they end. */

/** Seconds [from, to), to > from. */
export type Window = readonly [from: number, to: number]

/** Windows in ascending order, apart; with a period they lie in [0, period) and come again for ever. */
export interface Availability {
  readonly windows: readonly Window[]
  readonly period: number | null
}

export const always: Availability = { windows: [[0, Number.POSITIVE_INFINITY]], period: null }

/** Seconds beyond which nothing is waited for (30,000 years); up to it, doubles tell windows of a second apart. */
const never = 1e12

/** A share of every period, from `phase` (in [0, 1) of it) on. */
export function partOfPeriod(period: number, share: number, phase: number): Availability {
  if (share >= 1) return always
  const from = phase * period
  const to = from + share * period
  if (to <= period) return { windows: [[from, to]], period }
  const windows: Window[] = [
    [0, to - period],
    [from, period],
  ]
  return { windows, period }
}

/** The windows that end after `time`, in order. */
function* windowsFrom({ windows, period }: Availability, time: number): Generator<Window> {
  if (period === null) {
    for (const window of windows) if (window[1] > time) yield window
    return
  }
  for (let turn = Math.floor(time / period); ; turn++) {
    for (const [from, to] of windows) {
      const [begin, end] = [turn * period + from, turn * period + to]
      if (end > time) yield [begin, end]
    }
  }
}

/** The first time from `time` on at which it works; Infinity when there is none. */
export function nextAvailable(availability: Availability, time: number): number {
  for (const [from] of windowsFrom(availability, time)) return Math.max(from, time)
  return Number.POSITIVE_INFINITY
}

/** When work of `seconds` that is asked for at `time` is done; Infinity when the windows end before, or it takes for ever. */
export function finishOf(availability: Availability, time: number, seconds: number): number {
  const { windows, period } = availability
  if (!(time + seconds <= never)) return Number.POSITIVE_INFINITY
  let left = seconds
  let at = time
  if (period !== null) {
    // Whole periods at once: what is left after them is done within two.
    const each = windows.reduce((sum, [from, to]) => sum + to - from, 0)
    const turns = Math.max(0, Math.ceil(left / each) - 2)
    left -= turns * each
    at += turns * period
    if (!(at <= never)) return Number.POSITIVE_INFINITY
  }
  for (const [from, to] of windowsFrom(availability, at)) {
    const begin = Math.max(from, at)
    if (left <= to - begin) return begin + left
    left -= to - begin
  }
  return Number.POSITIVE_INFINITY
}
