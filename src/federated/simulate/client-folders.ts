/**
 * Names of folders that stand for clients. A client may have any name; a folder may not. Letters, digits, `-`, `_` and dots inside stay as they
 * are, other characters stand as %XX of their UTF-8 bytes. A name gets ~ and 16 digits of its SHA-256 behind it when that is longer than 80
 * characters, empty, one of a device (Windows), or equal to another client's where case does not count.
 */
import { createHash } from 'node:crypto'

const devices = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

/** Injective: % and ~ are never left as they are. */
function escaped(name: string): string {
  return encodeURIComponent(name)
    .replace(/[!'()*~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/^\.|\.$/g, '%2E')
}

/** @param names - of all clients, each unlike the others and well formed. */
export function clientFolders(names: readonly string[]): string[] {
  const plain = names.map(escaped)
  const times = new Map<string, number>()
  for (const text of plain) times.set(text.toLowerCase(), (times.get(text.toLowerCase()) ?? 0) + 1)
  return plain.map((text, index) => {
    const unique = times.get(text.toLowerCase()) === 1
    if (unique && text !== '' && text.length <= 80 && !devices.test(text)) return text
    const digest = createHash('sha256').update(names[index]!).digest('hex').slice(0, 16)
    return `${text.slice(0, 80)}~${digest}`
  })
}
