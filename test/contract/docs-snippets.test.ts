/**
 * Every fenced block of the documents that a user reads is run as it is printed, in order, in one folder a document that looks like his
 * project. js and ts blocks are modules, sh and console blocks command lines (in console: the lines after `$`), json and yaml must parse.
 * A yaml block with `file=NAME` behind its language is that file of the project. A block that cannot run here says why there:
 * ```console not run: takes a minute; one that must be refused on a machine without a GPU says with which code: ```console refused: E_CUDA_LIBRARY. The `@example`s of the sources run in such a folder too, with the names of the package that they use
 * imported. ts and js blocks are type-checked as well, under `strict`, also those that are not run.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import ts from 'typescript'
import { parse } from 'yaml'
import { listFiles } from '../../scripts/lib/project.mjs'
import { type Block, exampleBlocks, fencedBlocks } from '../support/fenced-blocks.js'
import { copyModel, makeProject, projectEnvironment, root, start } from '../support/shipped.js'

const documents = [
  'README.md',
  'examples/README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

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
  // Whatever this machine has: there is no CUDA library.
  const env = { ...projectEnvironment(folder), FEDLORA_CUDA: join(folder, 'absent.so') }
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

/** What the compiler has read of declarations and libraries: the same for every question that it is asked. */
const declarations = new Map<string, ts.SourceFile | undefined>()
let compiled: ts.Program | undefined

/** What the compiler says against modules of a user's: name → text. They are taken to lie in the package's own folder, which knows its name. */
function typeProblems(modules: ReadonlyMap<string, string>): string[] {
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    allowJs: true,
    checkJs: true,
    noEmit: true,
    types: ['node'],
    skipLibCheck: true,
  }
  const texts = new Map([...modules].map(([name, text]) => [join(root, name), text]))
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (path) => texts.has(path) || fileExists(path)
  host.readFile = (path) => texts.get(path) ?? readFile(path)
  host.getSourceFile = (path, language, ...rest) => {
    if (texts.has(path)) return ts.createSourceFile(path, texts.get(path)!, language)
    if (!declarations.has(path)) declarations.set(path, getSourceFile(path, language, ...rest))
    return declarations.get(path)
  }
  compiled = ts.createProgram([...texts.keys()], options, host, compiled)
  return ts.getPreEmitDiagnostics(compiled).map(({ file, start, messageText }) => {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line + 1
    return `${file?.fileName ?? ''}, line ${line} of the block: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

/** Imports of what a text names, from the package's doors. */
async function imports(text: string): Promise<string> {
  const doors = {
    fedlora: await import('../../dist/index.js'),
    'fedlora/federated': await import('../../dist/federated/index.js'),
    'fedlora/client': await import('../../dist/client/index.js'),
    'fedlora/server': await import('../../dist/server/index.js'),
    'fedlora/privacy': await import('../../dist/privacy/index.js'),
    'fedlora/flower': await import('../../dist/flower/index.js'),
    'fedlora/nats': await import('../../dist/nats/index.js'),
  }
  const found = new Set<string>()
  const lines = Object.entries(doors).map(([door, exported]) => {
    const names = Object.keys(exported).filter((name) => !found.has(name) && new RegExp(`\\b${name}\\(`).test(text))
    for (const name of names) found.add(name)
    return names.length === 0 ? '' : `import { ${names.join(', ')} } from '${door}'\n`
  })
  return lines.join('')
}

const isModule = ({ language }: Block) => language === 'ts' || language === 'js'
const moduleName = (file: string, { language, line }: Block) => `${file.replaceAll('/', '-')}-${line}.m${language}`

/** The examples of the sources. */
const examples = listFiles('src', /\.ts$/).flatMap((file) =>
  exampleBlocks(readFileSync(join(root, file), 'utf8')).map((block) => ({ file, block })),
)

t.test('every ts and js block and every example type-checks', async (t) => {
  const modules = new Map<string, string>()
  for (const document of documents) {
    for (const block of fencedBlocks(readFileSync(join(root, document), 'utf8')).filter(isModule)) {
      modules.set(moduleName(document, block), `export {}\n${block.text}`)
    }
  }
  t.ok(modules.size >= 8, `${modules.size} blocks`)
  for (const { file, block } of examples) modules.set(moduleName(file, block), (await imports(block.text)) + block.text)
  t.same(typeProblems(modules), [])
})

t.test('the examples of the sources', async (t) => {
  t.ok(examples.length >= 6, `${examples.length} examples`)
  const folder = t.testdir({})
  project(folder)
  for (const [number, { file, block }] of examples.entries()) {
    if (block.info !== '') {
      t.match(block.info, /^not run: .{5,}/, `${file}:${block.line} says why it is not run`)
      continue
    }
    const text = (await imports(block.text)) + block.text
    const { code, stderr } = await runBlock({ ...block, text }, folder, number)
    t.equal(code, 0, `${file}:${block.line} runs${code === 0 ? '' : `: ${stderr}`}`)
  }
})

t.test('canary: examples and blocks that do not type-check', async (t) => {
  const source = '/** A.\n * @example\n * ```ts\n * loadModel(7)\n * ```\n * @throws x\n */\nexport const a = 1\n'
  const [block] = exampleBlocks(source)
  t.match(block, { language: 'ts', line: 3, text: 'loadModel(7)\n' })
  const text = (await imports(block!.text)) + block!.text
  t.match(text, /^import \{ loadModel \} from 'fedlora'\n/)
  t.match(typeProblems(new Map([['a.mts', text]])), [/'number' is not assignable/])
  const option = "import { loadModel } from 'fedlora'\nawait loadModel('a', { quantisation: 'nf4' })\n"
  t.match(typeProblems(new Map([['a.mjs', option]])), [/quantisation/], 'in JavaScript too')
  t.same(typeProblems(new Map([['a.mts', option.replace('quantis', 'quantiz')]])), [])
})

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
      const [, refusal] = /^refused: (E_\w+)$/.exec(block.info) ?? []
      if (refusal !== undefined) {
        const { code, stderr } = await runBlock(block, folder, number)
        t.match({ code, stderr }, { code: 1, stderr: refusal }, `${name} is refused`)
      } else if (file !== undefined) writeFileSync(join(folder, file), block.text)
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
