/** Numbers, times, paths and tables as people read them. */
import { isAbsolute, relative } from 'node:path'

/** A path as people read it: relative to the working directory where it lies below that. */
export function shownPath(path: string): string {
  const below = relative(process.cwd(), path)
  return below !== '' && !below.startsWith('..') && !isAbsolute(below) ? below : path
}

/** `1234567` → `1.23 M`. */
export function formatCount(value: number): string {
  for (const [unit, factor] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= factor) return `${(value / factor).toPrecision(3)} ${unit}`
  }
  return String(Math.round(value))
}

/** Seconds as `45s`, `3m05s` or `2h15m`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole >= 3600) return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}m`
  return whole < 60 ? `${whole}s` : `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`
}

/** A moment on this machine's clock: `2026-11-28 13:48`. */
export function formatTime(time: Date | number): string {
  const date = new Date(time)
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`
}

/** Rows of cells as aligned columns; the first column to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '))
    .map((line) => line.trimEnd())
    .join('\n')
}
