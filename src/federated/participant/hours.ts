/** Hours of the day at which a client may work: local time, also across midnight, on days of 23 or 25 hours as on others. */
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'

/** Minutes since midnight, as a clock on the wall shows them. */
export interface Hours {
  from: number
  to: number
}

const pattern = /^([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)$/

/**
 * @param text - '22:00-06:00': from the first minute to before the last, the next day's when it is the earlier.
 * @throws FedloraError `E_CONFIG`.
 */
export function parseHours(text: string): Hours {
  const [, ...parts] = (typeof text === 'string' && pattern.exec(text.trim())) || []
  const [fromHour, fromMinute, toHour, toMinute] = parts.map(Number)
  const hours = { from: 60 * fromHour! + fromMinute!, to: 60 * toHour! + toMinute! }
  if (parts.length === 4 && hours.from !== hours.to) return hours
  const message = `between: got ${describeValue(text)}, expected two different times of the day, such as '22:00-06:00'`
  throw new FedloraError('E_CONFIG', message, { field: 'between' })
}

/** Whether a moment lies in them. */
export function isWithin({ from, to }: Hours, date: Date): boolean {
  const minute = 60 * date.getHours() + date.getMinutes()
  return from < to ? minute >= from && minute < to : minute >= from || minute < to
}

/**
 * The next moment at which they begin. A time that a clock set forward jumps over begins with the first that there is.
 * @returns milliseconds since 1970, after `date`.
 */
export function nextStart({ from }: Hours, date: Date): number {
  for (let day = 0; ; day++) {
    const start = new Date(date.getFullYear(), date.getMonth(), date.getDate() + day, Math.floor(from / 60), from % 60)
    if (start.getTime() > date.getTime()) return start.getTime()
  }
}
