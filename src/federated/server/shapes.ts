/** What clients send in a round: under which names, how many values of each, and which. */
import type { Chosen, Vectors } from '../algorithms/algorithm.js'
import { travelOf } from '../algorithms/defaults.js'
import { choiceOf, isChosenBySeed } from '../choice.js'
import { rangeOf, type Segment, segmentOf } from '../protocol/segments.js'
import { lengthOf, type Space } from '../protocol/space.js'
import type { ServerConfig } from './config.js'

/** What a seed chooses of a vector, and how long it is whole. */
export interface ChosenPart {
  readonly places: Uint32Array
  readonly length: number
}

export interface ShapeParts {
  chosen: Chosen
  config: ServerConfig
  /** The server's. */
  space: Space
  placeOf?: ((client: string) => number) | undefined
}

export class Shapes {
  readonly #parts: ShapeParts
  /** Of the round that was asked for last. */
  readonly #choices = new Map<string, ChosenPart>()
  #round = 0

  constructor(parts: ShapeParts) {
    this.#parts = parts
  }

  /** The part that a client sends in a round; undefined: all of it. */
  segmentOf(client: string, round: number): Segment | undefined {
    const { config, placeOf } = this.#parts
    const { segments = 1 } = config
    return segments === 1 ? undefined : segmentOf(placeOf!(client), round, segments)
  }

  /** Elements of what travels of the server's adapter under a name. */
  travelLength(name: string, round: number): number | undefined {
    const ranges = travelOf(this.#parts.chosen, { space: this.#parts.space, round })[name]
    return ranges && lengthOf(ranges)
  }

  /** What a round's seed chooses of a vector of `length` values that travels under a mask; undefined: all of it travels. */
  choiceOf(name: string, length: number, round: number): ChosenPart | undefined {
    const { chosen, config, space } = this.#parts
    if (config.upload === undefined || !isChosenBySeed(config.upload)) return undefined
    if (round !== this.#round) this.#choices.clear()
    this.#round = round
    const known = this.#choices.get(name)
    if (known !== undefined) return known
    const about = { seed: config.seed, round, space, travels: travelOf(chosen, { space, round }) }
    const choice = { places: choiceOf(name, length, about, config.upload, false)!.places, length }
    this.#choices.set(name, choice)
    return choice
  }

  /**
   * Of an answer with a loss: names that it must have, and values of a vector; undefined: nobody asked for one of that name. What travels has
   * the length of its ranges, any other that of the server's vector of that name.
   */
  expected(
    { client, round }: { client: string; round: number },
    space: Space,
    vectors: Readonly<Vectors>,
    masked: boolean,
  ) {
    const travels = travelOf(this.#parts.chosen, { space, round })
    const segment = this.segmentOf(client, round)
    const whole = (name: string): number | undefined => {
      if (!Object.hasOwn(travels, name)) return Object.hasOwn(vectors, name) ? vectors[name]!.length : undefined
      const length = lengthOf(travels[name]!)
      if (segment === undefined) return length
      const [begin, end] = rangeOf(length, segment)
      return end - begin
    }
    const chosen = (name: string): number | undefined => {
      const length = whole(name)
      return length === undefined ? undefined : (this.choiceOf(name, length, round)?.places.length ?? length)
    }
    return { names: Object.keys(travels), lengthOf: masked ? chosen : whole, masked }
  }
}
