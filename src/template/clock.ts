/** strftime_now: the local time, as Python's datetime.now().strftime() writes it in the C locale. */

import { unsupported } from './errors.js'

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
// biome-ignore format: a year
const months = [
  'January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December',
]

export function strftime(now: Date, format: string): string {
  const two = (value: number, fill = '0') => String(value).padStart(2, fill)
  const dayOfYear =
    Math.round(
      (Date.UTC(now.getFullYear(), now.getMonth(), now.getDate()) - Date.UTC(now.getFullYear(), 0, 1)) / 86_400_000,
    ) + 1
  const weekday = now.getDay()
  const week = (firstDay: number) => Math.floor((dayOfYear + 6 - ((weekday + 7 - firstDay) % 7)) / 7)
  // The week of ISO 8601 and the year that it belongs to.
  const thursday = new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate() + 4 - (weekday || 7)))
  const isoWeek = Math.floor((thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / 604_800_000) + 1
  const time = `${two(now.getHours())}:${two(now.getMinutes())}`
  const date = `${two(now.getMonth() + 1)}/${two(now.getDate())}/${two(now.getFullYear() % 100)}`
  const hour12 = now.getHours() % 12 || 12
  const fields: Record<string, () => string> = {
    a: () => days[weekday]!.slice(0, 3),
    A: () => days[weekday]!,
    b: () => months[now.getMonth()]!.slice(0, 3),
    h: () => months[now.getMonth()]!.slice(0, 3),
    B: () => months[now.getMonth()]!,
    c: () => `${fields.a!()} ${fields.b!()} ${two(now.getDate(), ' ')} ${fields.X!()} ${now.getFullYear()}`,
    C: () => two(Math.floor(now.getFullYear() / 100)),
    d: () => two(now.getDate()),
    D: () => date,
    e: () => two(now.getDate(), ' '),
    f: () => `${String(now.getMilliseconds()).padStart(3, '0')}000`,
    F: () => `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`,
    G: () => String(thursday.getUTCFullYear()),
    g: () => two(thursday.getUTCFullYear() % 100),
    H: () => two(now.getHours()),
    I: () => two(hour12),
    j: () => String(dayOfYear).padStart(3, '0'),
    k: () => two(now.getHours(), ' '),
    l: () => two(hour12, ' '),
    m: () => two(now.getMonth() + 1),
    M: () => two(now.getMinutes()),
    n: () => '\n',
    p: () => (now.getHours() < 12 ? 'AM' : 'PM'),
    P: () => (now.getHours() < 12 ? 'am' : 'pm'),
    r: () => `${two(hour12)}:${two(now.getMinutes())}:${two(now.getSeconds())} ${fields.p!()}`,
    R: () => time,
    s: () => String(Math.floor(now.getTime() / 1000)),
    S: () => two(now.getSeconds()),
    t: () => '\t',
    T: () => `${time}:${two(now.getSeconds())}`,
    u: () => String(weekday || 7),
    U: () => two(week(0)),
    V: () => two(isoWeek),
    w: () => String(weekday),
    W: () => two(week(1)),
    x: () => date,
    X: () => `${time}:${two(now.getSeconds())}`,
    y: () => two(now.getFullYear() % 100),
    Y: () => String(now.getFullYear()),
    // A time without a zone has neither name nor offset.
    z: () => '',
    Z: () => '',
    '%': () => '%',
  }
  return format.replace(/%(-?)(.?)/gsu, (all, plain, letter) => {
    const field = Object.hasOwn(fields, letter) ? fields[letter]!() : unsupported(`'${all}' in a date's format`)
    return plain === '' ? field : field.replace(/^[0 ]+(?=\d)/, '')
  })
}
