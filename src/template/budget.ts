/**
 * Bounds on the work of one render. A template comes from a stranger's checkpoint: it must not be able to hang or to fill the memory.
 * Rendering is synchronous, so that one counter serves the whole process.
 */

import { TemplateError } from './errors.js'

/** Steps of one render: iterations, calls, and one for every 2,048 characters or items that are made. */
const maxSteps = 10_000_000
/** UTF-16 units of one text. */
const maxText = 1 << 26
/** Items of one list. */
const maxItems = 1 << 22
/** Calls of macros and recursive loops within each other; Python's stack ends near 190. */
const maxDepth = 180
/** Bits of one integer. */
const maxBits = 1 << 16

let steps = 0
let depth = 0

function limit(what: string): never {
  throw new TemplateError('limit', `the template makes ${what}`)
}

export function beginRender(): void {
  steps = 0
  depth = 0
}

export function step(): void {
  if (++steps > maxSteps) limit(`more than ${maxSteps} steps for one conversation`)
}

/** While a text grows. */
export function checkText(length: number): void {
  if (!(length <= maxText)) limit(`a text of more than ${maxText} characters`)
}

/** Before a text of `length` is made. */
export function makeText(length: number): void {
  checkText(length)
  steps += length >> 11
}

/** For `length` characters or items that are looked at one by one. */
export function look(length: number): void {
  steps += length >> 2
  step()
}

/** Before a list of `length` is made. */
export function makeItems(length: number): void {
  if (!(length <= maxItems)) limit(`a list of more than ${maxItems} items`)
  steps += length >> 11
}

/** Before an integer of about `bits` bits is made. */
export function makeInteger(bits: number): void {
  if (!(bits <= maxBits)) limit(`an integer of more than ${maxBits} bits`)
}

/** Runs `body` one call deeper. */
export function deeper<T>(body: () => T): T {
  step()
  if (++depth > maxDepth) limit(`more than ${maxDepth} calls within each other`)
  try {
    return body()
  } finally {
    --depth
  }
}
