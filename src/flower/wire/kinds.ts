/** The scalar types of protobuf. Integers of 64 bits are bigints, so that none is rounded. */
import type { Kind } from './message.js'
import { wireTypes } from './reader.js'

export const uint64: Kind<bigint> = {
  type: wireTypes.varint,
  read: (reader) => reader.varint(),
  write: (writer, value) => writer.varint(value),
  isDefault: (value) => value === 0n,
  initial: () => 0n,
}

/** Zigzag: 0, −1, 1, −2, … are 0, 1, 2, 3, …. */
export const sint64: Kind<bigint> = {
  ...uint64,
  read(reader) {
    const zigzag = reader.varint()
    return (zigzag & 1n) === 0n ? zigzag >> 1n : -(zigzag >> 1n) - 1n
  },
  write: (writer, value) => writer.varint(value < 0n ? -2n * value - 1n : 2n * value),
}

export const bool: Kind<boolean> = {
  type: wireTypes.varint,
  read: (reader) => reader.varint() !== 0n,
  write: (writer, value) => writer.varint(value ? 1n : 0n),
  isDefault: (value) => !value,
  initial: () => false,
}

export const double: Kind<number> = {
  type: wireTypes.fixed64,
  read: (reader) => reader.double(),
  write: (writer, value) => writer.double(value),
  isDefault: (value) => Object.is(value, 0),
  initial: () => 0,
}

export const text: Kind<string> = {
  type: wireTypes.length,
  read: (reader) => reader.text(),
  write: (writer, value) => writer.text(value),
  isDefault: (value) => value === '',
  initial: () => '',
}

/** A view of the bytes that were read. */
export const bytes: Kind<Uint8Array> = {
  type: wireTypes.length,
  read: (reader) => reader.bytes(),
  write: (writer, value) => writer.bytes(value),
  isDefault: (value) => value.length === 0,
  initial: () => new Uint8Array(0),
}
