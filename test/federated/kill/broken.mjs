/** Servers that are wrong on purpose, in a way that shows only after a restart: what the checker must find. */
import { Aggregation } from '../../../dist/federated/coordinator/aggregation.js'
import { Conductor } from '../../../dist/federated/coordinator/conductor.js'
import { Folding } from '../../../dist/federated/coordinator/folding.js'

const { add } = Aggregation.prototype
const { makeUp } = Conductor.prototype

/** What is added again after a restart is added otherwise. @param {(again: Function, answer: any, ...rest: any[]) => Promise<void> | undefined} otherwise */
function adds(otherwise) {
  let again = false
  Conductor.prototype.makeUp = async function () {
    again = true
    await makeUp.call(this)
    again = false
  }
  Aggregation.prototype.add = async function (answer, ...rest) {
    const properly = add.bind(this)
    return await (again ? otherwise(properly, answer, ...rest) : properly(answer, ...rest))
  }
}

export const broken = {
  lost: () => adds(async () => {}),
  twice: () => adds((add, answer, ...rest) => add({ ...answer, rows: 2 * answer.rows }, ...rest)),
  /** Sums of workers are forgotten. */
  unsummed() {
    Folding.prototype.endAgain = async () => {}
  },
  /** Answers that were stale are fresh. */
  fresh: () => adds((add, answer, vectors) => add(answer, vectors)),
}
