/** Text generation: prompt to ids, native decoding in small chunks, ids to text that can no longer change, stop strings cut exactly. */
import { z } from 'zod'
import { formatNames } from '../data/formats/formats.js'
import { parseOptions } from '../options/parse.js'
import { Adapter } from './adapter.js'
import { finishReasons, Generation, type Progress } from './generation.js'
import type { Model } from './model.js'
import { type Prompt, resolvePrompt } from './prompt.js'

export type { Prompt } from './prompt.js'

export const generateOptionsSchema = z.strictObject({
  adapter: z.instanceof(Adapter).optional().describe('adapter to generate with; default: the base model alone'),
  maxTokens: z.int().min(1).default(256).describe('tokens to generate at most'),
  temperature: z.number().min(0).default(0).describe('0: greedy'),
  topK: z.int().min(0).default(0).describe('draw among the K most probable tokens; 0: off'),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe('draw among the fewest tokens whose probabilities sum to P; 1: off'),
  seed: z.int().min(0).default(0).describe('seed of the draws'),
  stop: z
    .union([z.string().min(1), z.array(z.string().min(1))])
    .default([])
    .describe('texts that end the generation; they are not part of the output'),
  endTokens: z
    .array(z.int().min(0))
    .optional()
    .describe("tokens that end the generation; default those of the model's generation_config.json and config.json"),
  format: z
    .enum(formatNames)
    .optional()
    .describe('the format of a prompt that is a row or a plain text; default: what the adapter was trained with'),
  raw: z.boolean().default(false).describe('a plain text is continued as it is, whatever the adapter was trained with'),
  signal: z.instanceof(AbortSignal).optional().describe('stops the generation'),
})

/** Options of `model.generate`. Defaults: 256 tokens, greedy, seed 0, no stop strings, the adapter's own format of prompts. */
export type GenerateOptions = z.input<typeof generateOptionsSchema>

type Parsed = z.output<typeof generateOptionsSchema>

/** Tokens per native call: few, so that text streams and a stop string wastes little. */
const chunk = 4

/** Ids in the chunks that the engine gives; the end token is the last one. */
async function* decode(
  model: Model,
  ids: Int32Array,
  endIds: Int32Array,
  options: Parsed,
  progress?: Progress,
): AsyncGenerator<Int32Array, void, undefined> {
  const { adapter, signal, maxTokens, temperature, topK, topP, seed } = options
  signal?.throwIfAborted()
  const request = { ids, maxTokens, temperature, topK, topP, seed, endIds }
  const generation = await model.withAdapter('generate', adapter, async (native, values) =>
    native.generate(values, request),
  )
  const cancel = () => generation.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    for (let done = false; !done; ) {
      const next = await model.withAdapter('generate', adapter, () => generation.next(chunk))
      signal?.throwIfAborted()
      done = next.done
      if (progress !== undefined) {
        progress.promptTokens = next.promptTokens
        progress.completionTokens = next.completionTokens
        if (next.finishReason !== undefined) progress.finishReason = finishReasons[next.finishReason]
      }
      if (next.ids.length > 0) yield next.ids
    }
  } finally {
    signal?.removeEventListener('abort', cancel)
    generation.dispose()
  }
}

/** Token ids of a continuation, the end token included; see `Model.generateTokens`. */
export async function* generateTokens(
  model: Model,
  prompt: Prompt,
  options: Omit<GenerateOptions, 'stop'>,
): AsyncGenerator<number, void, undefined> {
  const parsed = parseOptions(generateOptionsSchema.omit({ stop: true }), options, 'generate options')
  const ids = await resolvePrompt(model, prompt, parsed)
  const ends = Int32Array.from(parsed.endTokens ?? model.config.endTokenIds)
  for await (const next of decode(model, ids, ends, { ...parsed, stop: [] })) yield* next
}

/** Holds back text that may be the beginning of a stop string. */
export class StopFilter {
  readonly #stops: readonly string[]
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** The text that is safe to give out, and whether a stop string came up (the text then ends before it). */
  push(piece: string): { text: string; stopped: boolean } {
    const text = this.#held + piece
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0)
    if (found.length > 0) {
      this.#held = ''
      return { text: text.slice(0, Math.min(...found)), stopped: true }
    }
    const keep = Math.max(0, ...this.#stops.map((stop) => beginningAtEnd(text, stop)))
    this.#held = text.slice(text.length - keep)
    return { text: text.slice(0, text.length - keep), stopped: false }
  }

  /** What is still held when the text has ended. */
  finish(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }
}

/** How many characters at the end of `text` are a proper beginning of `stop`. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}

async function* textPieces(
  model: Model,
  prompt: Prompt,
  options: GenerateOptions,
  progress: Progress,
): AsyncGenerator<string, void, undefined> {
  const parsed = parseOptions(generateOptionsSchema, options, 'generate options')
  const tokenizer = await model.tokenizer()
  const ids = await resolvePrompt(model, prompt, parsed)
  const known = tokenizer.endTokens.filter((id) => id < model.config.vocabulary)
  const ends = new Set(parsed.endTokens ?? [...model.config.endTokenIds, ...known])
  const stream = tokenizer.stream({ skipSpecialTokens: true })
  const filter = new StopFilter(typeof parsed.stop === 'string' ? [parsed.stop] : parsed.stop)
  for await (const next of decode(model, ids, Int32Array.from(ends), parsed, progress)) {
    let made = progress.completionTokens - next.length
    for (const id of next) {
      made++
      if (ends.has(id)) break
      const { text, stopped } = filter.push(stream.push(id))
      if (stopped) Object.assign(progress, { finishReason: 'stop', completionTokens: made })
      if (text !== '') yield text
      if (stopped) return
    }
  }
  const { text, stopped } = filter.push(stream.finish())
  if (stopped) progress.finishReason = 'stop'
  const rest = stopped ? text : text + filter.finish()
  if (rest !== '') yield rest
}

/** The continuation of a prompt as text; see `Model.generate`. */
export function generateText(model: Model, prompt: Prompt, options: GenerateOptions): Generation {
  return new Generation((progress) => textPieces(model, prompt, options, progress))
}
