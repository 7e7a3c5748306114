/** What does each byte less cost? Codecs, densities, segments and compressed downloads, with the same budget of training. */
import { type Program, trialsOf } from '../program.js'
import { study } from './design.js'
import { outcomesOf, tableRows, writeReport } from './report.js'

export const compression: Program = {
  question: study.question,
  async run(request) {
    const trials = await trialsOf(study, request)
    const outcomes = outcomesOf(trials)
    return { trials, outcomes, table: tableRows(outcomes), files: await writeReport(outcomes, request.folder) }
  },
}
