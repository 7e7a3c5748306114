/** Algorithms against their published equations on four quadratics: five rounds, partial cohorts, every number that is remembered. */
import t from 'tap'
import { distance, parameters, runQuadratics, tolerance } from './support/quadratics.js'

t.test('fedavg', async (t) => {
  const { x } = await runQuadratics('fedavg')
  t.ok(distance(x, 'fedavg.x') <= tolerance)
  const uniform = await runQuadratics('fedavg', { server: { weighting: 'uniform' } })
  t.notOk(distance(uniform.x, 'fedavg.x') <= tolerance, 'canary: plain means')
})

t.test('fedprox', async (t) => {
  const { x } = await runQuadratics({ name: 'fedprox', mu: parameters.mu })
  t.ok(distance(x, 'fedprox.x') <= tolerance)
  const other = await runQuadratics({ name: 'fedprox', mu: 0.999 * parameters.mu! })
  t.notOk(distance(other.x, 'fedprox.x') <= tolerance, 'canary: a slightly smaller μ')
})
