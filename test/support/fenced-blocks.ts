/** The fenced blocks of a Markdown text. */
export interface Block {
  /** The first word behind the fence; '' for none. */
  language: string
  /** What stands behind the language. */
  info: string
  text: string
  /** Line of the opening fence, from 1. */
  line: number
}

export function fencedBlocks(markdown: string): Block[] {
  const blocks: Block[] = []
  let open: Block | undefined
  for (const [i, line] of markdown.split('\n').entries()) {
    const fence = /^```(\S*)\s*(.*)$/.exec(line)
    if (fence === null) {
      if (open !== undefined) open.text += `${line}\n`
    } else if (open === undefined) {
      open = { language: fence[1]!, info: fence[2]!, text: '', line: i + 1 }
    } else {
      blocks.push(open)
      open = undefined
    }
  }
  if (open !== undefined) throw new Error(`line ${open.line}: the block is not closed`)
  return blocks
}
