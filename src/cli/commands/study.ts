/** `fedlora study`: algorithms of federated learning side by side with one budget, as a table, plots and NDJSON. */
import { resolve } from 'node:path'
import { exists } from '../../files/atomic.js'
import { loadModel } from '../../model/load.js'
import { type Command, text } from '../command.js'
import { baseModelFolder } from '../demo/assets.js'
import { heterogeneity } from '../study/heterogeneity.js'
import { ranks } from '../study/ranks.js'
import { outcomesOf, tableRows, writeReport } from '../study/report.js'
import { planOf, runStudy } from '../study/run.js'
import { UsageError } from '../usage.js'
import { formatTable, shownPath } from '../words.js'

const studies = { heterogeneity, ranks }

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
    const chosen = studies[name]
    const plan = planOf(chosen, flags.quick === true)
    const folder = resolve(text(flags, 'output') ?? (await freeFolder(name)))
    using model = await loadModel(baseModelFolder, { quantization: 'nf4', compute: 'bf16' })
    output.text(chosen.question)
    const trials = await runStudy(model, plan, folder, signal, ({ done, total, setting, arm, seed }, event) => {
      const label = `trial ${done + 1}/${total}`
      const details = [setting, arm, `seed ${seed}`, ...(event?.type === 'round' ? [`round ${event.round}`] : [])]
      output.status({ label, details, event: { phase: 'trial', done, total, setting, arm, seed } })
    })
    output.endProgress()
    for (const trial of trials) output.event({ type: 'trial', ...trial })
    const files = await writeReport(chosen, trials, folder)
    const outcomes = outcomesOf(chosen, trials)
    output.text(formatTable(tableRows(outcomes)))
    for (const file of files) output.text(`wrote ${shownPath(file)}`)
    return { study: name, folder, outcomes }
  },
}
