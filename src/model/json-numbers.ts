/**
 * JSON whose numbers keep their spelling. Python readers tell 6.0 from 6 and refuse an int where a float belongs, so a config that is
 * rewritten here must not lose its decimal points.
 */
import { writeTextFile } from '../files/atomic.js'
import { type Json, readJsonObject } from '../files/json.js'

/** Stands before a number that travels as a string; cannot occur in a JSON text unescaped. */
const mark = '\u0001'

/** A number that is written with a decimal point, whatever its value. */
export function float(value: number): string {
  const text = String(value)
  return `${mark}${/[.e]/.test(text) ? text : `${text}.0`}`
}

/** Parses JSON; numbers with a fraction or an exponent become marked strings. */
export function parseKeepingNumbers(text: string): Json {
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) =>
    token[0] !== '"' && /[.eE]/.test(token) ? JSON.stringify(mark + token) : token,
  )
  return JSON.parse(marked) as Json
}

/** Indented JSON; marked strings become the numbers they stand for. */
export function stringifyKeepingNumbers(value: Json): string {
  return `${JSON.stringify(value, null, 2).replace(/"\\u0001([^"]*)"/g, '$1')}\n`
}

/** Rewrites a JSON file of an object under another name, atomically. */
export async function rewriteJson(from: string, to: string, change: (value: Json) => Json): Promise<void> {
  const value = await readJsonObject(from, 'model folder', parseKeepingNumbers)
  await writeTextFile(to, stringifyKeepingNumbers(change(value)))
}
