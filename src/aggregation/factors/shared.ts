/** Rules that train one factor: all clients hold the other as the server sent it, up to their ranks. */
import { FedloraError } from '../../errors.js'
import { native } from '../../native/load.js'
import type { ClientFactors, ModuleUpdates } from './rule.js'

type Part = 'A' | 'B'

/** The first client of the greatest rank, which holds all of the shared factor. */
function wholeHolder(clients: readonly ClientFactors[]): number {
  return clients.reduce((most, { rank }, k) => (rank > clients[most]!.rank ? k : most), 0)
}

/** The factor that all clients hold: that of the greatest rank. */
export function heldFactor({ out, in: inputs, clients }: ModuleUpdates, part: Part): Float64Array {
  const { rank, [part]: values } = clients[wholeHolder(clients)]!
  const [rows, cols] = part === 'A' ? [rank, inputs] : [out, rank]
  return native().mixMatrices(rows, cols, [{ values, rows, cols, scale: 1 }])
}

/** @throws FedloraError `E_ARGUMENT` when a client holds another factor than the rest. */
export function checkShared(name: string, rule: string, module: ModuleUpdates, part: Part): void {
  const whole = wholeHolder(module.clients)
  const { rank, [part]: held } = module.clients[whole]!
  for (const [k, client] of module.clients.entries()) {
    const values = client[part]
    for (let i = 0; i < values.length; i++) {
      const at = part === 'A' ? i : Math.floor(i / client.rank) * rank + (i % client.rank)
      if (values[i] === held[at]) continue
      throw new FedloraError(
        'E_ARGUMENT',
        `combineFactors: modules.${name}.clients[${k}].${part} differs from clients[${whole}].${part} at ${i}; ${rule} averages the other ` +
          `factor, so every client comes with the ${part} that was sent (leading ranks of it where its rank is smaller)`,
        { module: name, client: k, part },
      )
    }
  }
}
