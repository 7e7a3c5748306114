/** What an editor shows a user of the package: every option with its words and default, nothing that is internal. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { z } from 'zod'
import { documentTypes } from '../../scripts/document-types.mjs'
import { listFiles } from '../../scripts/lib/project.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** A language service over one file of a user's, which imports the built package by its name. */
function editor(source: string) {
  const file = join(root, 'user.ts')
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    types: ['node'],
    skipLibCheck: false,
  }
  const host: ts.LanguageServiceHost = {
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => {
      const text = name === file ? source : ts.sys.readFile(name)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getCurrentDirectory: () => root,
    getCompilationSettings: () => options,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  }
  const service = ts.createLanguageService(host)
  const at = (mark: string) => source.indexOf(mark)
  return {
    hover: (mark: string) => {
      const info = service.getQuickInfoAtPosition(file, at(mark))
      return { type: ts.displayPartsToString(info?.displayParts), text: ts.displayPartsToString(info?.documentation) }
    },
    completions: (mark: string) =>
      service.getCompletionsAtPosition(file, at(mark) + mark.length, {})?.entries.map(({ name }) => name) ?? [],
    problems: () =>
      [...service.getSyntacticDiagnostics(file), ...service.getSemanticDiagnostics(file)].map(({ messageText }) =>
        ts.flattenDiagnosticMessageText(messageText, '\n'),
      ),
  }
}

t.test('hovering an option tells what it does, its default and its type', async (t) => {
  const { hover, completions, problems } = editor(`
    import { loadDataset, loadModel, train } from 'fedlora'
    const model = await loadModel('folder', { quantization: 'nf4' })
    const adapter = model.createAdapter({ rank: 16 })
    const data = await loadDataset('rows.jsonl', { format: 'alpaca', maxLength: 512 })
    await train(adapter, data, { learningRate: 2e-4, evaluate: { data, every: 10 } })
    await adapter.model.generate('why?', { adapter }).result
    model.dispose()
  `)
  t.same(problems(), [], 'the package type-checks in a user’s program, libraries checked')
  t.match(hover('maxLength'), { text: /tokens/i, type: /maxLength\?: number \| undefined/ })
  t.match(hover('learningRate'), { text: /Peak learning rate\. Default: 0\.0002\./ })
  t.match(hover('every'), { text: /Steps between evaluations/ }, 'of a nested object, too')
  t.match(hover('quantization'), { text: /./ })
  t.match(hover('rank'), { text: /./ })
  t.match(hover('model.generate'), { type: /Adapter\.model: Model$/, text: 'The model below.' })
  t.notOk(completions('adapter.').includes('base'), 'what an adapter knows of it is its own affair')
  const members = completions('model.')
  t.ok(members.includes('createAdapter') && members.includes('dispose'))
  t.notOk(members.includes('handle') || members.includes('borrow'), 'what is internal is not offered')
})

t.test('every option has words', async (t) => {
  const bare: string[] = []
  let options = 0
  for (const file of listFiles('dist', /\.d\.ts$/)) {
    const lines = readFileSync(join(root, file), 'utf8').split('\n')
    lines.forEach((line, i) => {
      const [, name] = /^ +(\S+?)\??: (?:NonNullable<)*z\.input<typeof \w+>.*\];$/.exec(line) ?? []
      if (name === undefined) return
      ++options
      if (!/\/\*\* (?!Default:)/.test(lines[i - 1]!)) bare.push(`${file}: ${name}`)
    })
  }
  t.ok(options > 80, `${options} options`)
  t.same(bare, [])
})

t.test('documentTypes: members, defaults, nesting; canary: a schema that is not exported is refused', async (t) => {
  const schema = z.strictObject({
    rate: z.number().default(0.5).describe('how fast'),
    inner: z
      .strictObject({ every: z.int().optional().describe('steps */ apart') })
      .optional()
      .describe('what is inside'),
  })
  const source = 'export type A = z.input<typeof schema>;\nexport type B = z.output<typeof schema>;'
  t.equal(
    documentTypes(source, { schema }, 'a.d.ts'),
    `export interface A {
    /** How fast. Default: 0.5. */
    rate?: z.input<typeof schema>["rate"];
    /** What is inside. */
    inner?: {
        /** Steps *\\/ apart. */
        every?: NonNullable<z.input<typeof schema>["inner"]>["every"];
    };
}
export type B = z.output<typeof schema>;`,
  )
  t.throws(() => documentTypes(source, {}, 'a.d.ts'), { code: 'E_TYPES', message: /schema is not exported/ })
})
