/** The page of a server: how its federation stands, as server-sent events tell it. Whatever comes from outside becomes text, never markup. */

const element = (id) => document.getElementById(id)

/** @param {string} name @param {Record<string, string | number>} [attributes] @param {...(Node | string)} children */
function make(name, attributes = {}, ...children) {
  const svg = ['svg', 'path', 'line', 'text', 'circle', 'title', 'desc'].includes(name)
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value))
  node.append(...children)
  return node
}

const units = ['B', 'kB', 'MB', 'GB', 'TB']
function bytes(value) {
  let unit = 0
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
  return `${Math.floor(whole / 86400)} days`
}

const figure = (value) => (typeof value === 'number' ? value.toFixed(4) : '–')
const ago = (time, now) => (time === null ? 'never' : `${duration((now - time) / 1000)} ago`)

const states = {
  waiting: 'Waiting for clients',
  running: 'Running',
  paused: 'Paused by the operator',
  finished: 'Finished',
  failed: 'Failed',
}

const doings = {
  invited: 'invited, has not come yet',
  idle: 'joined, nothing to do',
  asked: 'asked, no word yet',
  working: 'works',
  answered: 'has answered',
  declined: 'declined',
  failed: 'failed',
  silent: 'silent',
  revoked: 'shut out by the operator',
}

function showFigures({ state, round, rounds, history, bytesUp, bytesDown, deadline, privacy, clients, buffer }, now) {
  const last = history.findLast(({ loss }) => loss !== null)
  const held = history.findLast(({ heldOutLoss }) => heldOutLoss !== undefined)
  const joined = clients.filter(({ state }) => state !== 'invited' && state !== 'revoked')
  const entries = [
    [buffer ? 'Steps' : 'Rounds', `${round} of ${rounds}`],
    ...(buffer ? [['In the buffer', `${buffer.answers} of ${buffer.size}`], ['At work', `${buffer.atWork} of ${buffer.concurrency}`]] : []),
    ['Clients', `${joined.length}`],
    ['Loss', figure(last?.loss)],
    ...(held ? [['Held-out loss', figure(held.heldOutLoss)]] : []),
    ['Updates received', bytes(bytesUp)],
    ['Sent to clients', bytes(bytesDown)],
    ...(deadline === null || state !== 'running' ? [] : [['Round closes in', duration((deadline - now) / 1000)]]),
    ...(privacy
      ? [['ε spent', `${privacy.epsilon?.toFixed(3) ?? 'no bound'}${privacy.budget ? ` of ${privacy.budget}` : ''}`]]
      : []),
  ]
  element('figures').replaceChildren(
    ...entries.map(([term, value]) => make('div', {}, make('dt', {}, term), make('dd', {}, value))),
  )
  const bar = element('bar')
  bar.setAttribute('aria-valuemax', rounds)
  bar.setAttribute('aria-valuenow', round)
  bar.setAttribute('aria-valuetext', `${round} of ${rounds} ${buffer ? 'steps' : 'rounds'}`)
  bar.firstElementChild.style.width = `${(100 * round) / Math.max(1, rounds)}%`
}

const size = { width: 720, height: 240, left: 52, right: 12, top: 12, bottom: 34 }

/** The curves of training and held-out loss over the rounds; the table of rounds holds the same in words. */
function chart({ history, rounds }) {
  const training = history.filter(({ loss }) => loss !== null).map(({ round, loss }) => [round, loss])
  const held = history.filter(({ heldOutLoss }) => heldOutLoss !== undefined).map((one) => [one.round, one.heldOutLoss])
  const values = [...training, ...held].map(([, value]) => value)
  if (values.length === 0) return make('p', { class: 'none' }, 'No round has ended yet.')
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const margin = (high - low || Math.abs(high) || 1) * 0.08
  const [bottom, top] = [low - margin, high + margin]
  const first = history[0].round
  const x = (round) =>
    size.left + ((round - first) / Math.max(1, rounds - first)) * (size.width - size.left - size.right)
  const y = (value) => size.top + ((top - value) / (top - bottom)) * (size.height - size.top - size.bottom)
  const base = size.height - size.bottom
  const curve = (points, name) => [
    make('path', {
      class: name,
      d: points
        .map(([round, value], i) => `${i === 0 ? 'M' : 'L'}${x(round).toFixed(1)} ${y(value).toFixed(1)}`)
        .join(''),
    }),
    ...(points.length > 60
      ? []
      : points.map(([round, value]) =>
          make('circle', { class: `${name}-dot`, cx: x(round).toFixed(1), cy: y(value).toFixed(1), r: 3 }),
        )),
  ]
  const label = (content, attributes) => make('text', attributes, content)
  const of = (points, name) =>
    points.length === 0 ? '' : `${name} from ${figure(points[0][1])} to ${figure(points.at(-1)[1])}. `
  return make(
    'svg',
    { viewBox: `0 0 ${size.width} ${size.height}`, role: 'img', 'aria-labelledby': 'chart-title chart-words' },
    make('title', { id: 'chart-title' }, 'Loss by round'),
    make('desc', { id: 'chart-words' }, `${of(training, 'Training loss')}${of(held, 'Held-out loss')}`),
    make('line', { class: 'axis', x1: size.left, x2: size.width - size.right, y1: base, y2: base }),
    ...[low, (low + high) / 2, high].map((value) =>
      label(value.toFixed(3), { x: size.left - 8, y: y(value) + 4, 'text-anchor': 'end' }),
    ),
    ...[...new Set([first, rounds])].map((round) =>
      label(`round ${round}`, { x: x(round), y: base + 16, 'text-anchor': round === first ? 'start' : 'end' }),
    ),
    ...curve(training, 'training'),
    ...curve(held, 'held-out'),
    label(`— training loss${held.length > 0 ? '   - - held-out loss' : ''}`, {
      x: size.width / 2,
      y: size.height - 4,
      'text-anchor': 'middle',
    }),
  )
}

const cell = (content, className = '') => make('td', className === '' ? {} : { class: className }, content)
const empty = (columns, words) => make('tr', {}, make('td', { colspan: columns, class: 'none' }, words))

function clientRow({ name, state, seen, step, steps, why, counted, bytesUp }, now) {
  const doing = state === 'working' && steps ? `works, step ${step ?? 0} of ${steps}` : (doings[state] ?? state)
  const bad = ['declined', 'failed', 'silent', 'revoked'].includes(state)
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, name),
    cell(why && bad ? `${doing}: ${why}` : doing, bad ? 'bad' : state === 'answered' ? 'good' : ''),
    cell(ago(seen, now), 'brief'),
    cell(`${counted}`, 'number'),
    cell(bytes(bytesUp), 'number'),
  )
}

function roundRow({
  round,
  loss,
  heldOutLoss,
  asked,
  counted,
  refused,
  bytesUp,
  bytesDown,
  seconds,
  abandoned,
  epsilon,
  stalenesses,
}) {
  const remarks = [
    abandoned === undefined ? '' : `abandoned: ${abandoned}`,
    refused > 0 ? `${refused} refused` : '',
    epsilon === undefined ? '' : `ε ${epsilon.toFixed(3)}`,
    stalenesses === undefined ? '' : `${stalenesses.join(', ')} steps behind`,
  ].filter((one) => one !== '')
  return make(
    'tr',
    {},
    make('th', { scope: 'row', class: 'number' }, `${round}`),
    cell(figure(loss), 'number'),
    cell(figure(heldOutLoss), 'number'),
    cell(stalenesses === undefined ? `${counted} of ${asked}` : `${counted}`, 'number'),
    cell(bytes(bytesUp), 'number'),
    cell(bytes(bytesDown), 'number'),
    cell(duration(seconds), 'number'),
    cell(remarks.join(' · '), abandoned === undefined && refused === 0 ? '' : 'bad'),
  )
}

const mostShown = 500

function rows(place, all, row, columns, none) {
  const shown = all.slice(0, mostShown).map(row)
  if (all.length > mostShown) shown.push(empty(columns, `and ${all.length - mostShown} more`))
  element(place).replaceChildren(...(shown.length === 0 ? [empty(columns, none)] : shown))
}

/** @param {number} now - by the server's clock, milliseconds */
function show(standing, now) {
  const { name, state, waitsFor, clients, history, problems } = standing
  document.title = `${name}: ${states[state] ?? state}`
  element('name').textContent = name
  const words = `${states[state] ?? state}${waitsFor ? `: ${waitsFor}` : ''}`
  if (element('state').textContent !== words) element('state').textContent = words
  element('main').hidden = false
  element('entrance').hidden = true
  showFigures(standing, now)
  element('chart').replaceChildren(chart(standing))
  const latest = problems.slice(-50).reverse()
  element('problems').replaceChildren(
    ...latest.map(({ at, code, words, client }) =>
      make(
        'li',
        {},
        `${client === undefined ? '' : `${client}: `}${words} (`,
        make('code', {}, code),
        `, ${ago(at, now)})`,
      ),
    ),
    ...(latest.length === 0 ? [make('li', { class: 'none' }, 'Nothing so far.')] : []),
  )
  rows('clients', clients, (one) => clientRow(one, now), 5, 'Nobody has been invited yet: fedlora federation invite')
  rows('rounds', history.toReversed(), roundRow, 8, 'No round has ended yet.')
}

function lose(words) {
  element('lost').textContent = words
  element('lost').hidden = false
}

/** What follows `data: ` in the events of a stream. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    text += value
    const parts = text.split('\n\n')
    text = parts.pop()
    for (const part of parts) {
      const data = part.split('\n').flatMap((line) => (line.startsWith('data: ') ? line.slice(6) : []))
      if (data.length > 0) yield data.join('\n')
    }
  }
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds))
let last
let skew = 0

/** One connection, to its end. */
async function look(token) {
  const headers = { accept: 'text/event-stream', ...(token && { authorization: `Bearer ${token}` }) }
  const response = await fetch('/v1/standing', { headers, cache: 'no-store' })
  if (response.status === 401 || response.status === 403) return 'closed'
  if (!response.ok) throw new Error(`the server says ${response.status}`)
  skew = Date.parse(response.headers.get('date') ?? '') - Date.now() || 0
  element('lost').hidden = true
  for await (const data of eventsOf(response.body)) {
    last = JSON.parse(data)
    show(last, Date.now() + skew)
  }
  return 'ended'
}

async function entrance() {
  element('state').textContent = 'This page is for observers.'
  element('main').hidden = true
  element('entrance').hidden = false
  return await new Promise((resolve) => {
    element('entrance').onsubmit = (event) => {
      event.preventDefault()
      resolve(element('token').value.trim())
    }
  })
}

async function follow() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token')
  if (given !== null) history.replaceState(null, '', location.pathname)
  let token = given ?? sessionStorage.getItem('token') ?? ''
  for (let wait = 1; ; wait = Math.min(30, 2 * wait)) {
    try {
      const end = await look(token)
      if (end === 'closed') {
        token = await entrance()
        sessionStorage.setItem('token', token)
        continue
      }
      wait = 1
    } catch (error) {
      lose(
        `No connection to the server (${error.message}). Trying again every ${wait} s; what is shown is what was last known.`,
      )
    }
    if (last?.state === 'finished' && element('lost').hidden)
      lose('The server has ended, as it does after the last round.')
    await pause(wait)
  }
}

setInterval(() => last && show(last, Date.now() + skew), 5000)
await follow()
