/** `fedlora simulate`: a federation in one process. */
import { type Dataset, type Split, splitOptionsSchema } from '../../data/index.js'
import { split } from '../../federated/index.js'
import { federationSchema } from '../../federated/options.js'
import { simulate as startSimulation } from '../../federated/simulate.js'
import { type Command, configFlag, section, text } from '../command.js'
import { formatBytes, formatCount, formatTable, ProgressLine } from '../output.js'
import { printProfile } from '../profile.js'
import {
  dataFlags,
  modelFlag,
  modelSections,
  openAdapter,
  openData,
  openEvaluation,
  openModel,
  reportCounts,
} from '../sections.js'
import { UsageError } from '../usage.js'

const sections = async () => {
  const { train: _, ...shared } = await modelSections()
  return { ...shared, split: splitOptionsSchema, federation: federationSchema }
}

/** Without a section `evaluate`, the judge is what all clients kept for their tests. */
function testRows(clients: Split): { data: Dataset } | undefined {
  const rows = clients.clients.flatMap((client) => client.test)
  return rows.length === 0 ? undefined : { data: clients.dataset.subset(rows) }
}

export const simulate: Command = {
  name: 'simulate',
  flags: {
    ...configFlag,
    model: modelFlag,
    ...dataFlags,
    adapter: {
      type: 'string',
      value: 'DIR',
      description: 'PEFT adapter folder to start from; without it a new adapter',
    },
    output: {
      type: 'string',
      value: 'DIR',
      description: 'run folder: config.json, events.ndjson, adapter/, checkpoints/',
    },
    resume: { type: 'string', value: 'RUN_FOLDER', description: 'continue a run from its last checkpoint' },
  },
  sections,
  ignoredSections: ['train'],
  async run({ flags, config, output, signal }) {
    if (config.split === undefined || config.federation === undefined) {
      throw new UsageError(
        'simulate needs the sections split and federation in its config file (--config FILE)',
        {},
        'E_CONFIG',
      )
    }
    const federation = section(federationSchema, 'federation', config, {
      outputDir: text(flags, 'output'),
      resumeFrom: text(flags, 'resume'),
    })
    const splitOptions = section(splitOptionsSchema, 'split', config)
    using model = await openModel(flags, config)
    const data = await openData(model, flags, config)
    reportCounts(data, (line) => output.note(line))
    for (const line of data.warnings) output.note(line)
    using adapter = await openAdapter(model, flags, config)
    const clients = split(data, splitOptions)
    const evaluate = (await openEvaluation(model, flags, config)) ?? testRows(clients)
    output.text(`${clients.length} clients · ${data.length} rows · ${formatCount(adapter.length)} trainable values`)
    const run = startSimulation({ ...federation, model, adapter, clients, ...(evaluate && { evaluate }), signal })
    let progress: ProgressLine | undefined
    for await (const event of run) {
      if (event.type === 'client') {
        output.event({ ...event })
        output.progress(
          `round ${event.round}/${federation.rounds} · ${event.name} · loss ${event.loss?.toFixed(4) ?? '–'} · ${formatCount(event.tokensPerSecond)} tokens/s`,
        )
        continue
      }
      output.event({ ...event })
      if (event.type === 'round') {
        progress ??= new ProgressLine(output, 'round', federation.rounds)
        progress.update(event.round, event.loss ?? undefined, event.tokensPerSecond)
        output.text(
          `round ${event.round}: loss ${event.loss?.toFixed(4) ?? '–'} · up ${formatBytes(event.bytesUp)} (${event.compressionRatio?.toFixed(1) ?? '–'}×) · ` +
            `down ${formatBytes(event.bytesDown)} · cosine ${event.cosine?.toFixed(4) ?? '–'} · ${event.seconds.total.toFixed(1)} s`,
        )
      } else if (event.type === 'evaluation') {
        output.text(`round ${event.round}: held-out loss ${event.loss.toFixed(4)}`)
      } else if (event.type === 'baseline-step') {
        output.progress(
          `baseline ${event.name}: step ${event.step}/${event.steps ?? '?'} · loss ${event.loss.toFixed(4)}`,
        )
      }
    }
    const { adapter: _, folder, ...result } = await run
    output.endProgress()
    const judged = [
      ...result.baselines.map((baseline) => ({
        name: `${baseline.kind} ${baseline.name}`,
        result: baseline.evaluation,
      })),
      { name: 'federated', result: result.evaluation },
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
    if (folder !== null) output.text(`run folder: ${folder}`)
    else output.note('no --output: the adapter is not kept')
    printProfile(output, model.profile())
    return { ...result, folder }
  },
}
