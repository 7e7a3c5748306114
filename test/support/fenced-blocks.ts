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

/** The fenced blocks of the `@example`s in the comments of a TypeScript source; `line` is that of the source. */
export function exampleBlocks(source: string): Block[] {
  return [...source.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap((comment) => {
    const [before, ...examples] = comment[0].replace(/^ *\* ?/gm, '').split(/^@example\b/m)
    let line = source.slice(0, comment.index).split('\n').length + before!.split('\n').length - 1
    return examples.flatMap((example) => {
      const first = line
      line += example.split('\n').length - 1
      return fencedBlocks(example.replace(/^@(?!example)[\s\S]*/m, '').replace(/\*?\/$/, '')).map((block) => ({
        ...block,
        line: block.line + first - 1,
      }))
    })
  })
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
