/** `fedlora study`: algorithms of federated learning side by side with one budget, as a table, plots and NDJSON. */
import { resolve } from 'node:path'
import { exists } from '../../files/atomic.js'
import { loadModel } from '../../model/load.js'
import { type Command, text } from '../command.js'
import { baseModelFolder } from '../demo/assets.js'
import { compression } from '../study/compression/compression.js'
import { heterogeneity } from '../study/heterogeneity.js'
import { leakage } from '../study/leakage/leakage.js'
import { federations, type Program } from '../study/program.js'
import { ranks } from '../study/ranks.js'
import { robustness } from '../study/robustness/robustness.js'
import { UsageError } from '../usage.js'
import { formatTable, shownPath } from '../words.js'

const studies = {
  heterogeneity: federations(heterogeneity),
  ranks: federations(ranks),
  compression,
  robustness,
  leakage,
} satisfies Record<string, Program>

/** `fedlora-study/NAME-1`, or the next number that is free. */
async function freeFolder(name: string): Promise<string> {
  for (let number = 1; ; number++) {
    const folder = resolve('fedlora-study', `${name}-${number}`)
    if (!(await exists(folder))) return folder
  }
}

export const study: Command = {
  name: 'study',
  words: [{ name: 'study', description: 'what to study', choices: Object.keys(studies) }],
  flags: {
    quick: { type: 'boolean', description: 'one seed, few rounds, some algorithms: about a minute' },
    output: {
      type: 'string',
      value: 'DIR',
      description: 'folder of the report (default: fedlora-study/NAME-N); a study that was stopped goes on in it',
    },
  },
  async run({ flags, output, signal }) {
    const name = flags.study as keyof typeof studies | undefined
    if (name === undefined) {
      throw new UsageError(`study: name one of ${Object.keys(studies).join(', ')}`, { known: Object.keys(studies) })
    }
    const { question, run } = studies[name]
    const folder = resolve(text(flags, 'output') ?? (await freeFolder(name)))
    using model = await loadModel(baseModelFolder, { quantization: 'nf4', compute: 'bf16' })
    output.text(question)
    const { trials, outcomes, table, files } = await run({
      model,
      quick: flags.quick === true,
      folder,
      signal,
      onProgress({ done, total, details, event }) {
        const label = `trial ${Math.min(done + 1, total)}/${total}`
        output.status({ label, details, event: { phase: 'trial', done, total, ...event } })
      },
    })
    output.endProgress()
    for (const trial of trials) output.event({ type: 'trial', ...trial })
    output.text(formatTable(table))
    for (const file of files) output.text(`wrote ${shownPath(file)}`)
    return { study: name, folder, outcomes }
  },
}
