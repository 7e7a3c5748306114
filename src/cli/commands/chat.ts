/** `fedlora chat`: a conversation with a model, at the terminal or line by line from a pipe. */
import { isFedloraError } from '../../errors.js'
import { generateOptionsSchema } from '../../model/generate-options.js'
import { History } from '../chat/history.js'
import { Lines } from '../chat/lines.js'
import { type Command, configFlag, section, text } from '../command.js'
import { loadPlanned, openOwnAdapter, planModel } from '../open-model.js'
import { describeError } from '../run.js'
import { schemaFlags, schemaValues } from '../schema-flags.js'
import { adapterFlag, deviceFlag, modelFlag, modelSections } from '../sections.js'

const samplingSchema = generateOptionsSchema.omit({ adapter: true, signal: true, raw: true })

const help = `/reset   forget what was said
/exit    end (or Ctrl-D)
/help    this; a line that begins with a space is sent as it is
Ctrl-C   stops an answer; twice between answers ends`

export const chat: Command = {
  name: 'chat',
  ownsInterrupt: true,
  flags: {
    ...configFlag,
    model: modelFlag,
    device: deviceFlag,
    adapter: adapterFlag,
    system: { type: 'string', value: 'TEXT', description: 'what the system says before the conversation' },
    ...schemaFlags(samplingSchema),
    stop: {
      type: 'string',
      value: 'TEXT',
      description: 'a text that ends an answer (may be repeated)',
      multiple: true,
    },
  },
  sections: modelSections,
  ignoredSections: ['split', 'federation'],
  async run({ flags, config, output, signal }) {
    const sampling = section(samplingSchema, 'generate', {}, schemaValues(samplingSchema, flags))
    const plan = await planModel(flags, config)
    using model = await loadPlanned(plan, output)
    using adapter = await openOwnAdapter(model, plan, output)
    const { format } = sampling
    const asked = format === undefined ? undefined : { format, fields: {}, chatTemplateKwargs: {} }
    const history = new History(await model.tokenizer(), asked ?? adapter?.promptFormat, text(flags, 'system'))
    const single = history.single?.format
    const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true
    if (terminal)
      output.note(
        `${single === undefined ? 'A chat' : `Questions in the format ${single}: each stands alone`}; /help helps.`,
      )

    let answering: AbortController | undefined
    let warned = false
    let interrupted = false
    const lines = new Lines({
      terminal,
      output: output.json ? process.stderr : process.stdout,
      onInterrupt() {
        if (answering !== undefined) return answering.abort()
        if (terminal && (lines.clear() !== '' || !warned)) {
          output.note('\n(Ctrl-C once more, or Ctrl-D, ends)')
          warned = true
          return lines.prompt()
        }
        interrupted = true
        lines.close()
      },
    })
    signal.addEventListener('abort', () => {
      answering?.abort()
      lines.close()
    })

    /** Answers one message; what was said before an interruption counts. */
    const answer = async (message: string): Promise<void> => {
      answering = new AbortController()
      const said = model.generate(history.prompt(message), {
        ...sampling,
        ...(single !== undefined && { format: single }),
        adapter,
        signal: answering.signal,
      })
      let whole = ''
      let ended: object
      try {
        for await (const piece of said) {
          whole += piece
          output.piece(piece)
        }
        ended = await said.result
      } catch (error) {
        if (!answering.signal.aborted) throw error
        ended = { text: whole, finishReason: 'abort' }
      } finally {
        answering = undefined
      }
      output.event({ type: 'answer', ...ended })
      if (whole === '') return
      output.text()
      history.add(message, whole)
    }

    let answers = 0
    try {
      for (let line = await lines.next(); line !== null; line = await lines.next()) {
        warned = false
        const command = line.trim()
        if (command === '') continue
        if (command === '/exit' || command === '/quit') break
        if (command === '/reset') history.reset()
        else if (command === '/help') output.note(help)
        else if (line.startsWith('/')) output.note(`unknown command ${command}; /help lists those that there are`)
        else {
          try {
            await answer(line)
            answers++
          } catch (error) {
            if (!terminal || !isFedloraError(error)) throw error
            output.note(`${describeError(error)}${history.length > 0 ? '\n/reset begins anew' : ''}`)
          }
        }
      }
      if (terminal) output.text()
    } finally {
      lines.close()
    }
    return { answers, interrupted }
  },
}
