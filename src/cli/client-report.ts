/** Clients measured on their own test rows, as people read it. */
import { formatBytes } from '../errors/describe.js'
import type { FederationEvaluation, FederationResult, RoundEvent } from '../federated/events.js'
import type { Output } from './output.js'
import { formatTable } from './words.js'

/** Whose adapter was measured, and after which steps. */
function adaptersOf({ of, clients }: FederationResult['clientEvaluations'][number]): string {
  if (of === 'global') return 'global adapter'
  return clients.fineTuneSteps === 0 ? 'personal adapters' : `personal adapters + ${clients.fineTuneSteps} steps`
}

/** Clients of which a line each is shown. */
const shownClients = 20

/** Who of a round's clients lied, and how, in a line; undefined where nobody did. */
export function liesLine({ round, clients }: RoundEvent): string | undefined {
  const lies = clients.flatMap(({ name, attack }) => (attack === undefined ? [] : [`${name} (${attack})`]))
  if (lies.length === 0) return undefined
  const more = lies.length > shownClients ? ` and ${lies.length - shownClients} more` : ''
  return `round ${round}: attackers ${lies.slice(0, shownClients).join(', ')}${more}`
}

/** Whom the robust rule of a round selected; undefined where it does not select. */
export function selectedLine({ round, clients, selected }: RoundEvent): string | undefined {
  if (selected === undefined) return undefined
  const names = clients.flatMap(({ client, name }) => (selected.includes(client) ? [name] : []))
  const more = names.length > shownClients ? ` and ${names.length - shownClients} more` : ''
  return `round ${round}: selected ${names.slice(0, shownClients).join(', ') || 'nobody'}${more}`
}

/** What a round's secure aggregation came to; undefined without one. */
export function maskedLine({ round, secureAggregation }: RoundEvent): string | undefined {
  if (secureAggregation === undefined) return undefined
  const { survivors, bytesUp, bytesDown, culprits = [] } = secureAggregation
  const wrong = culprits.length === 0 ? '' : ` · wrong shares of ${culprits.join(', ')}: the sum is right without them`
  return `round ${round}: updates of ${survivors} clients under masks · protocol up ${formatBytes(bytesUp)} · down ${formatBytes(bytesDown)}${wrong}`
}

/** Answers of a round that do not count, a line each. */
export function refusedLines({ round, refused = [] }: RoundEvent): string[] {
  const lines = refused
    .slice(0, shownClients)
    .map(({ code, message }) => `round ${round}: refused (${code}): ${message}`)
  const more = refused.length - lines.length
  return more > 0 ? [...lines, `round ${round}: refused ${more} more; --json tells of all`] : lines
}

/** What a private federation has spent, in a line. */
export function privacyLine({ privacy }: RoundEvent): string | undefined {
  if (privacy === undefined) return undefined
  const { epsilon, delta, budget, noiseMultiplier, clip } = privacy
  const spent = epsilon === null ? 'nothing is private: no noise' : `ε ${epsilon.toFixed(3)}`
  const of = budget === undefined ? '' : ` of ${budget}`
  return `privacy: ${spent}${of} at δ ${delta} · noise ${noiseMultiplier.toFixed(3)} × clip norm ${clip.toPrecision(3)}`
}

const figures = ['mean', 'standardDeviation', 'worstDecile', 'bestDecile'] as const
const names = ['mean', 'standard deviation', 'worst decile', 'best decile']

/** An evaluation of clients on their own rows in a line; undefined for another. */
export function measuredLine(evaluation: FederationEvaluation): string | undefined {
  const { clients } = evaluation
  if (clients === undefined) return undefined
  const [mean, deviation, worst, best] = figures.map((figure) => clients[figure].toFixed(4))
  return `${adaptersOf({ ...evaluation, clients })}, own test rows: loss ${mean} ± ${deviation} · worst decile ${worst} · best decile ${best}`
}

/** Every client on its own rows, a column for each adapter that was measured; of many clients those that fare worst. */
export function reportClients(evaluations: FederationResult['clientEvaluations'], output: Output): void {
  const [first] = evaluations
  if (first === undefined) return
  const last = evaluations.at(-1)!
  const lossOf = (evaluation: typeof first, client: number) =>
    evaluation.clients.each.find((one) => one.client === client)!.loss.toFixed(4)
  const worst = [...last.clients.each].sort((a, b) => b.loss - a.loss).slice(0, shownClients)
  output.text(
    formatTable([
      ['loss on own test rows', ...evaluations.map(adaptersOf)],
      ...worst.map(({ client, name, tookPart }) => [
        tookPart ? name : `${name} (never took part)`,
        ...evaluations.map((evaluation) => lossOf(evaluation, client)),
      ]),
      ...figures.map((figure, i) => [names[i]!, ...evaluations.map(({ clients }) => clients[figure].toFixed(4))]),
    ]),
  )
  const { each, unmeasured } = last.clients
  if (each.length > shownClients)
    output.text(`the ${shownClients} worst of ${each.length} clients; --json tells of all`)
  if (unmeasured.length > 0) output.note(`${unmeasured.length} clients have no test rows and are not measured`)
}
