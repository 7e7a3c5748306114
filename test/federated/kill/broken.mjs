/** Servers that are wrong on purpose, in a way that shows only after a restart: what the checker must find. */
import { Aggregation } from '../../../dist/federated/coordinator/aggregation.js'
import { Conductor } from '../../../dist/federated/coordinator/conductor.js'

const { add } = Aggregation.prototype
const { makeUp } = Conductor.prototype

/** Answers that counted before a restart weigh so many times what they did after it: none is lost, two is counted twice. */
function weighs(times) {
  let again = false
  Conductor.prototype.makeUp = async function () {
    again = true
    await makeUp.call(this)
    again = false
  }
  Aggregation.prototype.add = async function (answer, ...rest) {
    if (!again) return await add.call(this, answer, ...rest)
    return times === 0 ? undefined : await add.call(this, { ...answer, rows: times * answer.rows })
  }
}

export const broken = { lost: () => weighs(0), twice: () => weighs(2) }
