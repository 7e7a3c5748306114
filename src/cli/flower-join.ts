/** Joining a Flower federation from the command line: model, rows and options as `train` takes them, and what people are told meanwhile. */
import { type FlowerEvent, joinFlower } from '../flower/join.js'
import type { NodeResult } from '../flower/node/events.js'
import { followSchema, localTrainingSchema, namesSchema } from '../flower/work/options.js'
import type { Flags, FlagValues } from './arguments.js'
import { type Context, section, text } from './command.js'
import { fitRows, planData, planEvaluation, readRows } from './open-data.js'
import { loadPlanned, openAdapter, planModel } from './open-model.js'
import type { Output } from './output.js'
import { dataFlags, deviceFlag, evaluateSchema, modelFlag, modelSections } from './sections.js'
import { UsageError } from './usage.js'
import { formatCount, shownPath } from './words.js'

/** Sections of the config file: those of `train`, with the training of a round in the place of a run. */
export const flowerSections = async () => ({
  ...(await modelSections()),
  train: localTrainingSchema,
  follow: followSchema,
  metrics: namesSchema,
})

export const flowerJoinFlags: Flags = {
  key: { type: 'string', value: 'FILE', description: 'private key, as keygen writes it' },
  ca: { type: 'string', value: 'FILE', description: 'PEM of the authority that signed the server’s certificate' },
  insecure: { type: 'boolean', description: 'allow http to another machine' },
  folder: {
    type: 'string',
    value: 'DIR',
    description: 'this node’s own: its id, instructions and replies under way (default: KEY.node)',
  },
  idle: { type: 'number', value: 'SECONDS', description: 'leave when nothing came for so long (default: never)' },
  model: modelFlag,
  device: deviceFlag,
  ...dataFlags,
  validation: { type: 'number', value: 'SHARE', description: 'share of the rows kept back for evaluation' },
  adapter: { type: 'string', value: 'DIR', description: 'PEFT adapter folder that says rank and layers' },
}

function teller(output: Output): (event: FlowerEvent) => void {
  return (event) => {
    const round = 'round' in event && event.round !== undefined ? `round ${event.round} · ` : ''
    if (event.type === 'step') {
      const details = [`loss ${event.loss.toFixed(4)}`]
      const label = `${round}step ${event.step}/${event.totalSteps}`
      output.status({ label, details, event: { phase: 'step', done: event.step, total: event.totalSteps } })
      return
    }
    output.endProgress()
    if (event.type === 'joined') output.text(`${event.again ? 'again ' : ''}node ${event.nodeId} of ${event.url}`)
    else if (event.type === 'reply') {
      const figures = Object.entries(event.metrics).map(([name, value]) => `${name} ${Number(value.toFixed(4))}`)
      output.text(`${round}${event.kind} · ${figures.join(' · ')} · ${formatCount(event.bytes)} bytes`)
    } else if (event.type === 'refused') output.note(`${round}${event.kind} refused: ${event.code}: ${event.message}`)
    else if (event.type === 'dropped') output.note(`dropped ${event.id.slice(0, 8)}: ${event.reason}`)
    else if (event.type === 'waiting') output.note(`${event.message}; again in ${event.seconds.toFixed(1)} s`)
    else if (event.type === 'warning') output.note(event.message)
  }
}

/** What `fedlora flower join URL` and `fedlora join --flower URL` do. */
export async function joinFlowerServer(
  url: string,
  { flags, config, output, signal, holding }: Context,
): Promise<NodeResult & { folder: string }> {
  const key = required(flags, 'key')
  const folder = text(flags, 'folder') ?? `${key}.node`
  const local = section(localTrainingSchema, 'train', config)
  const follow = section(followSchema, 'follow', config)
  const metrics = section(namesSchema, 'metrics', config)
  const modelPlan = await planModel(flags, config)
  const dataPlan = planData(flags, config)
  const evaluation = planEvaluation(evaluateSchema, flags, config, dataPlan)
  const read = await readRows(dataPlan, evaluation, local.seed, output)
  using model = await loadPlanned(modelPlan, output, read.train, read.held)
  using adapter = await openAdapter(model, modelPlan, config, output)
  const { train: data, held } = await fitRows(read, model, output)
  output.text(`${data.length} rows · ${formatCount(adapter.length)} trainable values · ${shownPath(folder)}`)
  const node = {
    url,
    key,
    folder,
    ca: text(flags, 'ca'),
    insecure: flags.insecure === true,
    idle: flags.idle as number,
  }
  const tell = teller(output)
  return await holding(async () => {
    const own = { model, adapter, data, local, follow, metrics, ...(held && { evaluation: held }) }
    const run = joinFlower({ ...node, ...own, signal })
    for await (const event of run.events()) {
      if (event.type !== 'step') output.eventOf(event)
      tell(event)
    }
    const result = await run
    output.endProgress()
    output.text(`${result.delivered} replies delivered, ${result.refused} of them refusals · ${result.dropped} dropped`)
    return { ...result, folder }
  })
}

function required(flags: FlagValues, name: string): string {
  const value = text(flags, name)
  if (value === undefined) throw new UsageError(`flower join: --${name} is required`, { flag: name })
  return value
}
