/**
 * Every fenced block of the documents that a user reads is run as it is printed, in order, in one folder a document that looks like his
 * project. js and ts blocks are modules, sh and console blocks command lines (in console: the lines after `$`), json and yaml must parse.
 * A yaml block with `file=NAME` behind its language is that file of the project. A block that cannot run here says why there:
 * ```console not run: takes a minute.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { parse } from 'yaml'
import { type Block, fencedBlocks } from '../support/fenced-blocks.js'
import { copyModel, makeProject, projectEnvironment, root, start } from '../support/shipped.js'

const documents = ['README.md', 'examples/README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)]

/** Languages of a document whose blocks a test of its own runs: some of configuration.md’s commands must fail. */
const elsewhere = new Map([['docs/configuration.md', ['console', 'yaml']]])

const alpaca = Array.from({ length: 12 }, (_, i) => ({
  instruction: `Add one to ${i}.`,
  output: `${i} + 1 = ${i + 1}`,
  category: i % 2 === 0 ? 'even' : 'odd',
}))
const lines = (rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

/** A user's project: the model and data that the documents speak of. */
function project(folder: string): void {
  makeProject(folder)
  copyModel(join(folder, 'SmolLM2-135M-Instruct'))
  writeFileSync(join(folder, 'notes.jsonl'), lines(alpaca))
  writeFileSync(join(folder, 'questions.txt'), 'Add one to 3.\n')
  const questions = [{ question: 'What is 1 + 1?', answer: '2' }]
  mkdirSync(join(folder, 'data'))
  for (const name of ['rows.jsonl', 'a.jsonl', 'data/c.jsonl']) writeFileSync(join(folder, name), lines(questions))
  writeFileSync(join(folder, 'b.csv.gz'), gzipSync('question,answer\nWhat is 2 + 2?,4\n'))
  mkdirSync(join(folder, 'books'))
  writeFileSync(join(folder, 'books', 'one.txt'), 'Once upon a time.\n')
}

async function runBlock(
  block: Block,
  folder: string,
  number: number,
): Promise<{ code: number | null; stderr: string }> {
  const env = projectEnvironment(folder)
  if (block.language === 'js' || block.language === 'ts') {
    const file = join(folder, `block-${number}.mjs`)
    writeFileSync(file, block.text)
    return await start(process.execPath, [file], { cwd: folder, env }).ended
  }
  const commands =
    block.language === 'sh'
      ? block.text
      : block.text
          .split('\n')
          .filter((line) => line.startsWith('$ '))
          .map((line) => line.slice(2))
          .join('\n')
  return await start('/bin/bash', ['-euo', 'pipefail', '-c', commands], { cwd: folder, env }).ended
}

const runnable = ['js', 'ts', 'sh', 'console']
for (const document of documents) {
  const blocks = fencedBlocks(readFileSync(join(root, document), 'utf8'))
  t.test(document, async (t) => {
    const folder = t.testdir({})
    project(folder)
    for (const [number, block] of blocks.entries()) {
      const name = `${document}:${block.line}`
      const [, file] = /^file=(\S+)$/.exec(block.info) ?? []
      if (elsewhere.get(document)?.includes(block.language)) continue
      if (block.language === 'json') t.doesNotThrow(() => JSON.parse(block.text) as unknown, name)
      if (block.language === 'yaml') t.doesNotThrow(() => parse(block.text) as unknown, name)
      if (file !== undefined) writeFileSync(join(folder, file), block.text)
      else if (block.info !== '') t.match(block.info, /^not run: .{5,}/, `${name} says why it is not run`)
      else if (runnable.includes(block.language)) {
        const { code, stderr } = await runBlock(block, folder, number)
        t.equal(code, 0, `${name} runs${code === 0 ? '' : `: ${stderr}`}`)
      }
    }
  })
}

t.test('canary: a snippet that does not run on this Node, and a command that is not there, are seen', async (t) => {
  const folder = t.testdir({})
  makeProject(folder)
  const [broken, command] = fencedBlocks('```ts\nconst rank: number = 16\n```\n\n```console\n$ fedlora trian\n```\n')
  t.not((await runBlock(broken!, folder, 0)).code, 0)
  t.equal((await runBlock(command!, folder, 1)).code, 2)
})
