/** The table of operators at the end of a command that ran with FEDLORA_PROFILE=1. */
import type { ProfileEntry } from '../native/binding.js'
import type { Output } from './output.js'
import { formatTable } from './words.js'

/** Operators whose time is products of matrices; the rest is what a step needs around them. */
const products = /^(lora_linear|linear_cross_entropy|attention|head_logits)/

/** Where the time went, the longest first; nothing when nothing was recorded. Also an event of type `profile`. */
export function printProfile(output: Output, entries: readonly ProfileEntry[]): void {
  const all = entries.reduce((sum, { seconds }) => sum + seconds, 0)
  if (all === 0) return
  const percent = (seconds: number) => `${((100 * seconds) / all).toFixed(1)} %`
  const sorted = [...entries].sort((a, b) => b.seconds - a.seconds)
  const around = sorted.reduce((sum, { op, seconds }) => sum + (products.test(op) ? 0 : seconds), 0)
  output.event({ type: 'profile', seconds: all, aroundProducts: around / all, operators: sorted })
  output.text(
    formatTable([
      ['operator', 'calls', 'ms', 'share'],
      ...sorted.map(({ op, calls, seconds }) => [op, String(calls), (1000 * seconds).toFixed(1), percent(seconds)]),
    ]),
  )
  output.text(`${percent(around)} around the products of matrices`)
}
