/** What both ways of the demo stand on: the model, everybody's rows, and what the result is judged by. */
import { join } from 'node:path'
import { type Dataset, loadDataset } from '../../data/index.js'
import type { PromptText } from '../../data/prompt.js'
import { evaluate } from '../../evaluation/evaluate.js'
import type { Adapter } from '../../model/adapter.js'
import { loadModel } from '../../model/load.js'
import type { Model } from '../../model/model.js'
import { baseModelFolder, gsm8kFolder } from './assets.js'
import { type CalculatorPrompt, calculatorAccuracy, calculatorPrompts } from './calculator.js'
import { clientRows, kinds } from './data.js'
import { recipe } from './recipe.js'

export interface Score extends Record<string, number> {
  loss: number
  perplexity: number
  tokenAccuracy: number
  calculatorAccuracy: number
}

/** Rows of GSM8K, each as its question and its answer. */
async function readGsm8k(file: string, model: Model, overlong: 'truncate' | 'drop'): Promise<Dataset> {
  const maxLength = model.config.maxPositions
  return await loadDataset(join(gsm8kFolder, file), { format: 'gsm8k', tokenizer: model, maxLength, overlong })
}

export class Stage {
  readonly model: Model
  /** One a kind of arithmetic. */
  readonly clients: { name: string; train: Dataset }[]
  /** Rows of nobody. */
  readonly held: Dataset
  readonly #prompts: CalculatorPrompt[]
  readonly #signal: AbortSignal

  private constructor(
    model: Model,
    clients: Stage['clients'],
    held: Dataset,
    prompts: CalculatorPrompt[],
    signal: AbortSignal,
  ) {
    this.model = model
    this.clients = clients
    this.held = held
    this.#prompts = prompts
    this.#signal = signal
  }

  static async open(signal: AbortSignal): Promise<Stage> {
    const model = await loadModel(baseModelFolder, recipe.model)
    const tokenizer = await model.tokenizer()
    const pools = clientRows(await readGsm8k('train.jsonl', model, 'truncate'), recipe.rowsEach)
    const clients = pools.map((train, index) => ({ name: kinds[index]!, train }))
    const held = await readGsm8k('test.jsonl', model, 'drop')
    return new Stage(model, clients, held, calculatorPrompts(held, tokenizer, recipe.calculatorPrompts), signal)
  }

  [Symbol.dispose](): void {
    this.model.dispose()
  }

  /** The question that is asked before and after. */
  get question(): PromptText {
    return this.held.prompt(0)
  }

  async calculator(adapter: Adapter | undefined): Promise<number> {
    return await calculatorAccuracy(this.#prompts, (ids, maxTokens) =>
      this.model.generate(ids, { adapter, maxTokens, signal: this.#signal }),
    )
  }

  async score(adapter: Adapter | undefined): Promise<Score> {
    const { loss, perplexity, tokenAccuracy } = await evaluate(adapter ?? this.model, this.held, {
      signal: this.#signal,
    })
    return { loss, perplexity, tokenAccuracy, calculatorAccuracy: await this.calculator(adapter) }
  }

  async answer(adapter: Adapter | undefined): Promise<string> {
    let said = ''
    const options = { adapter, maxTokens: recipe.answerTokens, stop: ['</s>', 'Question:'], signal: this.#signal }
    for await (const piece of this.model.generate(this.question, options)) said += piece
    return said.trim()
  }
}
