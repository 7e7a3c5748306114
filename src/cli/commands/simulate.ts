/** `fedlora simulate`: a federation in one process. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Dataset, type Split, splitOptionsSchema } from '../../data/index.js'
import { isFedloraError } from '../../errors.js'
import type { FederationEvent, FederationResult } from '../../federated/events.js'
import { split } from '../../federated/index.js'
import { type FederationConfig, federationSchema } from '../../federated/options.js'
import { simulate as startSimulation } from '../../federated/simulate/simulate.js'
import { makeFolder } from '../../files/atomic.js'
import type { Run } from '../../run/run.js'
import { type Command, type Config, configFlag, section, text } from '../command.js'
import {
  keepBack,
  loadPlanned,
  openAdapter,
  planData,
  planEvaluation,
  planModel,
  readData,
  reportCounts,
  withModel,
} from '../open.js'
import { formatBytes, formatCount, formatTable, type Output, ProgressLine, shownPath } from '../output.js'
import { printProfile } from '../profile.js'
import { recipeOf, rememberedRecipe, resumeCommand, writeRecipe } from '../recipe.js'
import { dataFlags, federationEvaluateSchema, modelFlag, modelSections, runFlags } from '../sections.js'
import { UsageError } from '../usage.js'

const sections = async () => {
  const { train: _, ...shared } = await modelSections()
  return { ...shared, evaluate: federationEvaluateSchema, split: splitOptionsSchema, federation: federationSchema }
}

/** Without a section `evaluate`, the judge is what all clients kept for their tests. */
function testRows(clients: Split): { data: Dataset } | undefined {
  const rows = clients.clients.flatMap((client) => client.test)
  return rows.length === 0 ? undefined : { data: clients.dataset.subset(rows) }
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

const dash = (value: number | null | undefined, digits: number) => value?.toFixed(digits) ?? '–'

async function follow(
  run: Run<FederationEvent, FederationResult>,
  rounds: number,
  output: Output,
  onBegun: () => Promise<void>,
): Promise<FederationResult> {
  let progress: ProgressLine | undefined
  let begun = false
  output.phase('training')
  for await (const event of run) {
    output.event({ ...event })
    if (!begun && event.type === 'round') {
      begun = true
      await onBegun()
    }
    if (event.type === 'client') {
      const speed = `${formatCount(event.tokensPerSecond)} tokens/s`
      const details = [event.name, `loss ${dash(event.loss, 4)}`, speed]
      output.status({
        label: `round ${event.round}/${rounds}`,
        details,
        event: { phase: 'round', done: event.round, total: rounds },
      })
    } else if (event.type === 'round') {
      progress ??= new ProgressLine(output, 'round', rounds)
      progress.update(event.round, event.loss, event.tokensPerSecond)
      output.text(
        `round ${event.round}: loss ${dash(event.loss, 4)} · up ${formatBytes(event.bytesUp)} (${dash(event.compressionRatio, 1)}×) · ` +
          `down ${formatBytes(event.bytesDown)} · cosine ${dash(event.cosine, 4)} · ${event.seconds.total.toFixed(1)} s`,
      )
    } else if (event.type === 'evaluation') {
      output.text(`round ${event.round}: held-out loss ${event.loss.toFixed(4)}`)
    } else if (event.type === 'baseline-step') {
      const label = `baseline ${event.name}: step ${event.step}/${event.steps ?? '?'}`
      output.status({ label, details: [`loss ${event.loss.toFixed(4)}`] })
    }
  }
  return await run
}

function report({ baselines, evaluation, ...result }: FederationResult, output: Output): void {
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
  output.text(
    `up ${formatBytes(result.bytesUp)} of ${formatBytes(result.bytesUpRaw)} raw · down ${formatBytes(result.bytesDown)}`,
  )
  if (result.folder !== null) output.text(`run folder: ${result.folder}`)
  else output.note('no --output: the adapter is not kept')
}

export const simulate: Command = {
  name: 'simulate',
  flags: { ...configFlag, model: modelFlag, ...dataFlags, ...runFlags },
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

    const rows = keepBack(await readData(dataPlan, output), dataPlan.validation, federation.seed)
    const heldRows = evaluation?.data ? await readData(evaluation.data, output) : rows.held
    using model = await loadPlanned(modelPlan, output, rows.train, heldRows)
    const data = await withModel(rows.train, model, output)
    const held = heldRows && (await withModel(heldRows, model, output))
    reportCounts(data, (line) => output.note(line))
    using adapter = await openAdapter(model, modelPlan, config, output)
    const clients = split(data, splitOptions)
    const evaluate = held ? { ...evaluation!.when, data: held } : testRows(clients)
    output.text(`${clients.length} clients · ${data.length} rows · ${formatCount(adapter.length)} trainable values`)
    const recipe = recipeOf(config, flags)
    const remember = async () => void (folder !== undefined && (await writeRecipe(folder, recipe)))
    if (federation.resumeFrom === undefined) await remember()
    return await holding(async () => {
      const run = startSimulation({ ...federation, model, adapter, clients, ...(evaluate && { evaluate }), signal })
      try {
        const { adapter: _, ...result } = await follow(run, federation.rounds, output, remember)
        output.endProgress()
        report({ ...result, adapter }, output)
        printProfile(output, model.profile())
        return result
      } catch (error) {
        let round = 0
        for await (const event of run.events()) if (event.type === 'round') round = event.round
        stopped(folder, round, isFedloraError(error), output)
        throw error
      }
    })
  },
}

/** Where a run that did not end stands, and how to go on. A failure before any round leaves nothing worth going on with. */
function stopped(folder: string | undefined, round: number, failed: boolean, output: Output): void {
  output.endProgress()
  if (failed && round === 0) return
  const where = round === 0 ? 'stopped before a round was done' : `stopped after round ${round}`
  if (folder === undefined || !existsSync(join(folder, 'config.json'))) {
    output.note(`${where}; ${folder === undefined ? 'no --output: nothing' : 'nothing'} is kept`)
    return
  }
  const resume = resumeCommand('simulate', folder)
  if (!failed) output.event({ type: 'stopped', round, folder, adapter: `${folder}/adapter`, resume })
  output.note(`${where} · run folder: ${shownPath(folder)}`)
  output.note(`go on ${failed ? 'when the cause is mended ' : ''}with: ${resume}`)
}
