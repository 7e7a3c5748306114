/** Line charts as SVG: panels side by side over one scale, a line a series with the band of its spread, one legend. No text is measured. */

/** A point, and the range around it. */
export interface Point {
  x: number
  y: number
  low?: number
  high?: number
}

export interface Series {
  name: string
  points: readonly Point[]
}

export interface Panel {
  title: string
  series: readonly Series[]
}

export interface Chart {
  title: string
  x: string
  y: string
  /** Logarithmic y; points that are not above 0 stand on the lower edge. */
  log?: boolean
  /** Logarithmic x, likewise. */
  logX?: boolean
  /** A disc at every point. */
  marks?: boolean
  panels: readonly Panel[]
}

/** Paul Tol's muted scheme, and black: told apart by most people who do not see all colours. */
const colors = [
  '#332288',
  '#cc6677',
  '#117733',
  '#88ccee',
  '#ddaa33',
  '#aa4499',
  '#44aa99',
  '#882255',
  '#999933',
  '#000000',
]
const dashes = ['', '6 3', '2 3']

const size = { panel: 260, height: 240, left: 62, top: 58, gap: 26, bottom: 44, legend: 150 }

const escaped = (text: string) =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]!)
const at = (value: number) => String(Math.round(value * 10) / 10)

/** About `count` round numbers that span [low, high]. */
export function ticks(low: number, high: number, count = 5): number[] {
  if (!(high > low)) return [low]
  const rough = (high - low) / count
  const magnitude = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * magnitude).find((candidate) => candidate >= rough)!
  const first = Math.ceil(low / step - 1e-9)
  const last = Math.floor(high / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

interface Scale {
  place(value: number): number
  ticks: number[]
}

function linear(low: number, high: number, from: number, to: number): Scale {
  const span = high > low ? high - low : 1
  return { place: (value) => from + ((value - low) / span) * (to - from), ticks: ticks(low, high) }
}

function logarithmic(low: number, high: number, from: number, to: number): Scale {
  const [bottom, top] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))]
  const { place } = linear(bottom, Math.max(top, bottom + 1), from, to)
  const decades = Array.from({ length: Math.max(top, bottom + 1) - bottom + 1 }, (_, i) => bottom + i)
  const every = Math.ceil(decades.length / 8)
  const shown = decades.filter((_, i) => i % every === 0).map((exponent) => 10 ** exponent)
  return { place: (value) => place(value > 0 ? Math.max(bottom, Math.log10(value)) : bottom), ticks: shown }
}

const label = (value: number) =>
  value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential(0) : String(value)

function text(x: number, y: number, content: string, more = ''): string {
  return `<text x="${at(x)}" y="${at(y)}" ${more}>${escaped(content)}</text>`
}

function styleOf(index: number): { color: string; dash: string } {
  return { color: colors[index % colors.length]!, dash: dashes[Math.floor(index / colors.length) % dashes.length]! }
}

function line({ points }: Series, index: number, x: Scale, y: Scale, marks: boolean): string {
  const { color, dash } = styleOf(index)
  const place = (value: number, point: Point) => `${at(x.place(point.x))},${at(y.place(value))}`
  const ranged = points.filter(({ low, high }) => low !== undefined && high !== undefined)
  const outline = [
    ...ranged.map((point) => place(point.high!, point)),
    ...ranged.map((point) => place(point.low!, point)).reverse(),
  ]
  const band = ranged.length > 1 ? `<polygon points="${outline.join(' ')}" fill="${color}" opacity="0.12"/>` : ''
  const dots = points.map((point) => place(point.y, point)).join(' ')
  const discs = points.map(
    (point) => `<circle cx="${at(x.place(point.x))}" cy="${at(y.place(point.y))}" r="3" fill="${color}"/>`,
  )
  return `${band}${marks ? discs.join('') : ''}<polyline points="${dots}" fill="none" stroke="${color}" stroke-width="1.8"${dash && ` stroke-dasharray="${dash}"`}/>`
}

/** The chart as a document of its own. @throws RangeError when there is nothing to draw. */
export function drawChart({
  title,
  x: xLabel,
  y: yLabel,
  log = false,
  logX = false,
  marks = false,
  panels,
}: Chart): string {
  const points = panels.flatMap(({ series }) => series.flatMap((one) => one.points))
  const xs = points.map((point) => point.x)
  const ys = points
    .flatMap(({ y, low, high }) => [y, low ?? y, high ?? y])
    .filter((y) => Number.isFinite(y) && (!log || y > 0))
  if (xs.length === 0 || ys.length === 0) throw new RangeError(`chart '${title}': there is nothing to draw`)
  const bottom = size.top + size.height
  const scale = log ? logarithmic : linear
  const margin = log ? 0 : 0.04 * (Math.max(...ys) - Math.min(...ys))
  const y = scale(Math.min(...ys) - margin, Math.max(...ys) + margin, bottom, size.top)
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))]
  const width = size.left + panels.length * (size.panel + size.gap) + size.legend
  const parts = [text(size.left, 20, title, 'font-size="15" font-weight="bold"')]
  for (const [index, panel] of panels.entries()) {
    const left = size.left + index * (size.panel + size.gap)
    const x = (logX ? logarithmic : linear)(Math.min(...xs), Math.max(...xs), left, left + size.panel)
    parts.push(text(left + size.panel / 2, size.top - 10, panel.title, 'text-anchor="middle"'))
    for (const tick of y.ticks) {
      const height = at(y.place(tick))
      parts.push(`<line x1="${left}" x2="${left + size.panel}" y1="${height}" y2="${height}" stroke="#e4e4e4"/>`)
      if (index === 0) parts.push(text(left - 6, y.place(tick) + 4, label(tick), 'text-anchor="end"'))
    }
    for (const tick of x.ticks) parts.push(text(x.place(tick), bottom + 16, label(tick), 'text-anchor="middle"'))
    parts.push(text(left + size.panel / 2, bottom + 34, xLabel, 'text-anchor="middle"'))
    parts.push(
      `<rect x="${left}" y="${size.top}" width="${size.panel}" height="${size.height}" fill="none" stroke="#888"/>`,
    )
    for (const series of panel.series) {
      const drawn = series.points.filter((point) => Number.isFinite(point.y))
      parts.push(line({ ...series, points: drawn }, names.indexOf(series.name), x, y, marks))
    }
  }
  const middle = size.top + size.height / 2
  parts.push(text(14, middle, yLabel, `text-anchor="middle" transform="rotate(-90 14 ${middle})"`))
  const legend = size.left + panels.length * (size.panel + size.gap)
  for (const [index, name] of names.entries()) {
    const { color, dash } = styleOf(index)
    const height = size.top + 8 + 18 * index
    const stroke = `stroke="${color}" stroke-width="2.5"${dash && ` stroke-dasharray="${dash}"`}`
    parts.push(`<line x1="${legend}" x2="${legend + 22}" y1="${height}" y2="${height}" ${stroke}/>`)
    parts.push(text(legend + 28, height + 4, name))
  }
  const height = Math.max(bottom + size.bottom, size.top + 18 * names.length + 8)
  const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`
  return `${[head, `<rect width="${width}" height="${height}" fill="#fff"/>`, ...parts, '</svg>'].join('\n')}\n`
}
