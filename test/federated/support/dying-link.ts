/**
 * A link whose every call is told before and after it has had its effect: whoever throws then is dead to the other side. Asking for news has none, and
 * how often a client asks in vain depends on others: what counts is news.
 */
import type { ClientLink } from '../../../src/federated/link/link.js'

export function dyingLink(link: ClientLink, point: (name: string) => void): ClientLink {
  const told =
    <A extends unknown[], R>(name: string, call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (name !== 'next') point(`${name} asked`)
      const result = await call.apply(link, args)
      if (name !== 'next' || result !== undefined) point(`${name} done`)
      return result
    }
  return {
    describe: told('describe', link.describe),
    next: told('next', link.next),
    say: told('say', link.say),
    download: told('download', link.download),
    upload: told('upload', link.upload),
    close: () => link.close(),
  }
}
