/** What do clients that lie cost, and which rule pays least? */
import { type Program, trialsOf } from '../program.js'
import { study } from './design.js'
import { outcomesOf, tableRows, writeReport } from './report.js'

export const robustness: Program = {
  question: study.question,
  async run(request) {
    const trials = await trialsOf(study, request)
    const outcomes = outcomesOf(study, trials)
    const files = await writeReport(study, trials, request.folder)
    return { trials, outcomes, table: tableRows(outcomes), files }
  },
}
