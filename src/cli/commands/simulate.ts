/** `fedlora simulate`: a federation in one process. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Dataset, type Split, splitOptionsSchema } from '../../data/index.js'
import { formatBytes } from '../../errors/describe.js'
import { isFedloraError } from '../../errors.js'
import { CostMeter, type CostToTarget, costToTarget } from '../../federated/cost.js'
import type { EvaluationOptions as Judge } from '../../federated/evaluation-options.js'
import type { FederationEvent, FederationResult } from '../../federated/events.js'
import { split } from '../../federated/index.js'
import { type FederationConfig, federationSchema } from '../../federated/options.js'
import { simulate as startSimulation } from '../../federated/simulate/simulate.js'
import { makeFolder } from '../../files/atomic.js'
import {
  liesLine,
  maskedLine,
  measuredLine,
  privacyLine,
  refusedLines,
  reportClients,
  selectedLine,
} from '../client-report.js'
import { type Command, type Config, configFlag, section, text } from '../command.js'
import { costLine, targetFlag, timeLine } from '../cost-report.js'
import { figure, follow, type StoppedRun, tellClient, tellStopped } from '../follow.js'
import { type EvaluationPlan, fitRows, planData, planEvaluation, readRows } from '../open-data.js'
import { loadPlanned, openAdapter, planModel } from '../open-model.js'
import type { Output } from '../output.js'
import { printProfile } from '../profile.js'
import { ProgressLine } from '../progress-line.js'
import { recipeOf, rememberedRecipe, resumeCommand, writeRecipe } from '../recipe.js'
import { dataFlags, deviceFlag, federationEvaluateSchema, modelFlag, modelSections, runFlags } from '../sections.js'
import { UsageError } from '../usage.js'
import { formatCount, formatTable, shownPath } from '../words.js'

const sections = async () => {
  const { train: _, ...shared } = await modelSections()
  return { ...shared, evaluate: federationEvaluateSchema, split: splitOptionsSchema, federation: federationSchema }
}

/** Without rows of their own, the judge is what all clients kept for their tests. */
function judgeOf(held: Dataset | undefined, plan: EvaluationPlan | undefined, clients: Split): Judge | undefined {
  const rows = clients.clients.flatMap((client) => client.test)
  const data = held ?? (rows.length === 0 ? undefined : clients.dataset.subset(rows))
  if (data === undefined && plan === undefined) return undefined
  return { ...plan?.when, ...(data && { data }) }
}

function planFederation(
  config: Config,
  outputDir: string | undefined,
  resumeFrom: string | undefined,
): FederationConfig {
  if (config.split === undefined || config.federation === undefined) {
    throw new UsageError(
      'simulate needs the sections split and federation in its config file (--config FILE)',
      {},
      'E_CONFIG',
    )
  }
  const federation = section(federationSchema, 'federation', config, { outputDir, resumeFrom })
  const { outputDir: place } = federation
  if (federation.resumeFrom === undefined && place !== undefined && existsSync(join(place, 'config.json'))) {
    throw new UsageError(
      `--output: '${place}' already holds a run; go on with it by ${resumeCommand('simulate', resolve(place))}, or choose another folder`,
    )
  }
  return federation
}

/** What people are told of the events of a federation. */
function teller(output: Output, rounds: number): (event: FederationEvent) => void {
  let progress: ProgressLine | undefined
  return (event) => {
    if (event.type === 'client') tellClient(output, event, rounds)
    else if (event.type === 'round') {
      progress ??= new ProgressLine(output, 'round', rounds)
      progress.update(event.round, event.loss, event.tokensPerSecond)
      output.text(
        `round ${event.round}: loss ${figure(event.loss, 4)} · up ${formatBytes(event.bytesUp)} (${figure(event.compressionRatio, 1)}×) · ` +
          `down ${formatBytes(event.bytesDown)} · cosine ${figure(event.cosine, 4)} · ${event.seconds.total.toFixed(1)} s`,
      )
      if (event.clock !== undefined) output.text(timeLine(event.clock))
      for (const line of [
        liesLine(event),
        selectedLine(event),
        maskedLine(event),
        ...refusedLines(event),
        privacyLine(event),
      ])
        if (line !== undefined) output.text(line)
      if (event.abandoned !== undefined) output.text(`round ${event.round} was abandoned: ${event.abandoned}`)
    } else if (event.type === 'budget') {
      output.text(
        `the budget ε ${event.budget} has no room for another round: ended after round ${event.round} with ε ${event.epsilon.toFixed(3)}`,
      )
    } else if (event.type === 'evaluation') {
      output.text(`round ${event.round}: ${measuredLine(event) ?? `held-out loss ${event.loss.toFixed(4)}`}`)
    } else if (event.type === 'baseline-step') {
      const label = `baseline ${event.name}: step ${event.step}/${event.steps ?? '?'}`
      output.status({ label, details: [`loss ${event.loss.toFixed(4)}`] })
    }
  }
}

function report({ baselines, evaluation, clientEvaluations, ...result }: FederationResult, output: Output): void {
  const judged = [
    ...baselines.map((baseline) => ({ name: `${baseline.kind} ${baseline.name}`, result: baseline.evaluation })),
    { name: 'federated', result: evaluation },
  ].filter(({ result }) => result !== null)
  if (judged.length > 0) {
    output.text(
      formatTable([
        ['', 'held-out loss', 'perplexity', 'accuracy'],
        ...judged.map(({ name, result }) => [
          name,
          result!.loss.toFixed(4),
          result!.perplexity.toFixed(3),
          `${(100 * result!.tokenAccuracy).toFixed(2)} %`,
        ]),
      ]),
    )
  }
  reportClients(clientEvaluations, output)
  output.text(
    `up ${formatBytes(result.bytesUp)} of ${formatBytes(result.bytesUpRaw)} raw · down ${formatBytes(result.bytesDown)}`,
  )
  if (result.folder !== null) output.text(`run folder: ${result.folder}`)
  else output.note('no --output: the adapter is not kept')
}

/** What a target cost: with a run folder over the whole run, of which this may be the end. */
function costOf(folder: string | null, loss: number, meter: CostMeter): CostToTarget | null {
  return folder === null ? (meter.cost ?? null) : costToTarget(folder, { loss })
}

export const simulate: Command = {
  name: 'simulate',
  flags: { ...configFlag, model: modelFlag, device: deviceFlag, ...dataFlags, ...runFlags, target: targetFlag },
  sections,
  ignoredSections: ['train'],
  remembered: (flags) => rememberedRecipe('simulate', flags),
  async run({ flags, config, output, signal, holding }) {
    const federation = planFederation(config, text(flags, 'output'), text(flags, 'resume'))
    const splitOptions = section(splitOptionsSchema, 'split', config)
    const modelPlan = await planModel(flags, config)
    const dataPlan = planData(flags, config)
    const evaluation = planEvaluation(federationEvaluateSchema, flags, config, dataPlan)
    const place = federation.resumeFrom ?? federation.outputDir
    const folder = place === undefined ? undefined : resolve(place)
    if (folder !== undefined) await makeFolder(folder)

    const rows = await readRows(dataPlan, evaluation, federation.seed, output)
    using model = await loadPlanned(modelPlan, output, rows.train, rows.held)
    const { train: data, held } = await fitRows(rows, model, output)
    using adapter = await openAdapter(model, modelPlan, config, output)
    const clients = split(data, splitOptions)
    const target = flags.target as number | undefined
    const evaluate = judgeOf(held, evaluation, clients)
    if (target !== undefined && evaluate?.data === undefined)
      throw new UsageError(
        '--target: there are no held-out rows to measure the loss on; give the section evaluate, or --validation',
      )
    output.text(`${clients.length} clients · ${data.length} rows · ${formatCount(adapter.length)} trainable values`)
    const recipe = recipeOf(config, flags)
    const remember = async () => void (folder !== undefined && (await writeRecipe(folder, recipe)))
    if (federation.resumeFrom === undefined) await remember()
    const meter = target === undefined ? undefined : new CostMeter({ loss: target })
    const tell = teller(output, federation.rounds)
    return await holding(async () => {
      const run = startSimulation({ ...federation, model, adapter, clients, ...(evaluate && { evaluate }), signal })
      try {
        const { adapter: _, ...result } = await follow(
          run,
          output,
          (event) => {
            meter?.add(event)
            tell(event)
          },
          ['round'],
          remember,
        )
        output.endProgress()
        report({ ...result, adapter }, output)
        const cost = meter && costOf(result.folder, target!, meter)
        if (cost !== undefined) output.text(costLine(target!, cost))
        printProfile(output, model.profile())
        return cost === undefined ? result : { ...result, costToTarget: cost }
      } catch (error) {
        let round = 0
        for await (const event of run.events()) if (event.type === 'round') round = event.round
        tellStopped(stopped(folder, round), isFedloraError(error), output)
        throw error
      }
    })
  },
}

function stopped(folder: string | undefined, round: number): StoppedRun {
  const place = folder === undefined ? '' : `run folder: ${shownPath(folder)}`
  return { command: 'simulate', unit: 'round', done: round, folder, sign: 'config.json', fields: { folder }, place }
}
