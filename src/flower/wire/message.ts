/**
 * Protobuf messages as tables of fields: `message('Node', { nodeId: field(1, uint64) })` reads and writes. As in proto3, a scalar at its
 * default is not written; an `optional` one is written when it is there; unknown fields are passed over; the last value of a field wins.
 */
import { Reader, type WireType, wireTypes } from './reader.js'
import { Writer } from './writer.js'

/** How values of one type travel. */
export interface Kind<T> {
  type: WireType
  read(reader: Reader): T
  write(writer: Writer, value: T): void
  /** Whether it is the value of a field that is left out. */
  isDefault(value: T): boolean
  /** That value. */
  initial(): T
}

/** One field of a message. `T` is what the message object holds: `undefined` for what is not there, a list for what is repeated. */
export interface Field<T> {
  number: number
  /** @param before - the value so far. */
  read(reader: Reader, type: WireType, before: T): T
  write(writer: Writer, value: T): void
  initial(): T
}

type Fields = Readonly<Record<string, Field<never>>>

/** The object of a message with these fields. */
export type ValueOf<F> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never }

export interface Message<T> extends Kind<T> {
  /** Fields that are not given have their defaults. */
  encode(value: Partial<T>): Uint8Array
  /** @throws FedloraError `E_PROTOCOL`. */
  decode(bytes: Uint8Array): T
}

function readAs<T>(kind: Kind<T>, number: number, reader: Reader, type: WireType): T {
  if (type !== kind.type) reader.fail(`wire type ${type} in field ${number}, expected ${kind.type}`)
  return kind.read(reader)
}

function writeAs<T>(kind: Kind<T>, number: number, writer: Writer, value: T): void {
  writer.tag(number, kind.type)
  kind.write(writer, value)
}

/** A scalar that is its default when it is left out. */
export function field<T>(number: number, kind: Kind<T>): Field<T> {
  return {
    number,
    read: (reader, type) => readAs(kind, number, reader, type),
    write: (writer, value) => void (kind.isDefault(value) || writeAs(kind, number, writer, value)),
    initial: kind.initial,
  }
}

/** A value that is there or not: messages, members of a oneof, scalars with presence. */
export function optional<T>(number: number, kind: Kind<T>): Field<T | undefined> {
  return {
    number,
    read: (reader, type) => readAs(kind, number, reader, type),
    write: (writer, value) => void (value === undefined || writeAs(kind, number, writer, value)),
    initial: () => undefined,
  }
}

/** A list, one field a value; numbers are written in one field together (packed), and read either way. */
export function repeated<T>(number: number, kind: Kind<T>): Field<T[]> {
  const packs = kind.type !== wireTypes.length
  return {
    number,
    read(reader, type, before) {
      if (packs && type === wireTypes.length) {
        const packed = reader.message()
        while (!packed.done) before.push(kind.read(packed))
      } else before.push(readAs(kind, number, reader, type))
      return before
    },
    write(writer, values) {
      if (values.length === 0) return
      if (packs) {
        const packed = new Writer()
        for (const value of values) kind.write(packed, value)
        writer.tag(number, wireTypes.length)
        writer.bytes(packed.finish())
      } else for (const value of values) writeAs(kind, number, writer, value)
    },
    initial: () => [],
  }
}

/** A map: entries that always carry key and value, at their defaults too. */
export function map<K, V>(number: number, key: Kind<K>, value: Kind<V>): Field<Map<K, V>> {
  const entry = message('map entry', { key: optional(1, key), value: optional(2, value) })
  return {
    number,
    read(reader, type, before) {
      const got = readAs(entry, number, reader, type)
      return before.set(got.key ?? key.initial(), got.value ?? value.initial())
    },
    write(writer, values) {
      for (const [key, value] of values) writeAs(entry, number, writer, { key, value })
    },
    initial: () => new Map(),
  }
}

/** @param name - for errors. */
export function message<F extends { [K in keyof F]: Field<ValueOf<F>[K]> }>(
  name: string,
  fields: F,
): Message<ValueOf<F>> {
  const list = Object.entries(fields as unknown as Fields) as [string, Field<unknown>][]
  const byNumber = new Map(list.map(([key, field]) => [field.number, [key, field] as const]))

  const initial = () => Object.fromEntries(list.map(([key, field]) => [key, field.initial()]))

  function readAll(reader: Reader): Record<string, unknown> {
    const value = initial()
    while (!reader.done) {
      const { number, type } = reader.tag()
      const known = byNumber.get(number)
      if (known === undefined) reader.pass(type)
      else value[known[0]] = known[1].read(reader, type, value[known[0]])
    }
    return value
  }

  function encode(value: Record<string, unknown>): Uint8Array {
    const writer = new Writer()
    for (const [key, field] of list) if (value[key] !== undefined) field.write(writer, value[key])
    return writer.finish()
  }

  return {
    type: wireTypes.length,
    read: (reader) => readAll(reader.message()) as ValueOf<F>,
    write: (writer, value) => writer.bytes(encode(value)),
    isDefault: () => false,
    initial: () => initial() as ValueOf<F>,
    encode,
    decode: (bytes) => readAll(new Reader(bytes, name)) as ValueOf<F>,
  }
}

/** A message that holds itself: its table is asked for when it is needed. */
export function recursive<T>(of: () => Message<T>): Kind<T> {
  return {
    type: wireTypes.length,
    read: (reader) => of().read(reader),
    write: (writer, value) => of().write(writer, value),
    isDefault: () => false,
    initial: () => of().initial(),
  }
}
