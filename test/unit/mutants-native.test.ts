// The C++ mutation tool: what it finds in a source, and its verdicts on a small project whose tests have a hole on purpose.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findMutations } from '../../scripts/lib/cpp-mutations.mjs'
import { chooseMutants, nameMutants } from '../../scripts/lib/mutants.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The changes of a source as "before → after". */
const changes = (source: string) =>
  nameMutants(source, findMutations('x.cpp', source)).map(({ before, after }) => `${before} → ${after}`)

t.test('what is changed', async (t) => {
  const cases: [source: string, expected: string[]][] = [
    ['f(a + b);', ['f(a + b); → ;', '+ → -']],
    ['return a < n && !b;', ['< → <=', '< → >=', '&& → ||', '! → ']],
    ['return 7u;', ['7u → 8u', '7u → 6u']],
    ['return 0x10;', ['0x10 → 0x11', '0x10 → 0xf']],
    ['return 0;', ['0 → 1']],
    ['return 0.5f;', ['0.5f → (2 * 0.5f)']],
    ["return 1'000;", ["1'000 → 1001", "1'000 → 999"]],
    ['return -x;', ['- → ']],
    ['return true;', ['true → false']],
    ['if (a) b = c;', ['(a) → (!(a))', 'b = c; → ;']],
    ['while (a) return;', ['(a) → (false && (a))']],
    ['return f(a.b, c->d);', ['a.b, c->d → c->d, a.b']],
    ['return std::min(a, b);', ['min → max']],
    ['for (int i = first; i < n; ++i) f(i);', ['< → <=', '< → >=', 'f(i); → ;']],
    ['*at = b;', ['*at = b; → ;']],
  ]
  for (const [source, expected] of cases) t.same(changes(`void f() { ${source} }`), expected, source)
  t.same(changes('constexpr int most = 3;'), ['3 → 4', '3 → 2'], 'a constant at the top')
})

t.test('what is left alone', async (t) => {
  const sources = [
    '// a + 1',
    '/* a + 1 */',
    'const char* text = "a + 1";',
    'auto text = R"x(a + 1)x";',
    '#include "a+1.h"',
    '#define A(x) \\\n  (x + 1)',
    'static_assert(sizeof(int) == 4);',
    'template <class T, int n = 3>',
    'std::vector<const float*> values;',
    'void f(const T& a, T&& b, T* c);',
    'bool operator<(const T& other) const;',
    'std::vector<int> a(b);',
    'values.reserve(n);',
    'return f(a, a.b());',
    'using X = Y<3>;',
    'struct A { int a = 3; bool b = true; };',
    'class A { A(const A&) = delete; void (*f)(int); };',
    'class A { int f(int x = 3) const; };',
  ]
  for (const source of sources) t.same(changes(source), [], source)
})

t.test('a mutant keeps its name when lines are added above it', async (t) => {
  const source = 'int f() {\n  return 1 + 1;\n}\n'
  const names = (text: string) => nameMutants(text, findMutations('x.cpp', text)).map(({ id }) => id)
  t.same(names(`// above\n\n${source}`), names(source))
  t.equal(new Set(names(source)).size, 5, 'equal changes of one line have different names')
  const mutants = nameMutants(source, findMutations('x.cpp', source))
  const sample = (seed: string) => chooseMutants([...mutants], { seed, count: '3' }).map(({ id }) => id)
  t.same(sample('1'), sample('1'), 'one seed, one sample')
  t.equal(sample('1').length, 3)
})

t.test('verdicts on a project whose test has a hole', async (t) => {
  // `least` is tested; the upper end of `clamp` is not.
  const toy =
    'int least(int a, int b) { return a < b ? a : b; }\nint clamp(int x) {\n  if (x > 9) return 8;\n  return x;\n}\n'
  const folder = t.testdir({
    'CMakeLists.txt': `cmake_minimum_required(VERSION 3.24)
project(toy LANGUAGES CXX)
add_library(toy STATIC native/toy/toy.cpp)
add_executable(test_toy test/native/test_toy.cpp)
target_include_directories(test_toy PRIVATE native)
target_link_libraries(test_toy PRIVATE toy)
set_target_properties(test_toy PROPERTIES RUNTIME_OUTPUT_DIRECTORY \${CMAKE_BINARY_DIR}/tests)
`,
    'package.json': '{}',
    native: { toy: { 'toy.h': 'int least(int a, int b);\nint clamp(int x);\n', 'toy.cpp': toy } },
    test: {
      native: {
        'test_toy.cpp': `#include <cstdio>
#include "toy/toy.h"
int main() {
  const bool ok = least(1, 2) == 1 && least(2, 1) == 1 && clamp(3) == 3;
  std::printf("%s 1 - toy\\n1..1\\n", ok ? "ok" : "not ok");
  return ok ? 0 : 1;
}
`,
      },
      'mutants-equivalent.json': JSON.stringify([
        {
          file: 'native/toy/toy.cpp',
          text: toy.split('\n')[0],
          before: '<',
          after: '<=',
          reason: 'equal ones are equal',
        },
        { file: 'native/toy/toy.cpp', text: 'gone', before: '1', after: '2', reason: 'of a line that is gone' },
      ]),
    },
  })
  const report = join(folder, 'report.jsonl')
  const args = ['--root', folder, '--rooms', 'native/toy', '--report', report, '--max-alive', '90']
  const run = (more: string[]) =>
    spawnSync(process.execPath, [join(root, 'scripts', 'mutate-native.mjs'), ...args, ...more], { encoding: 'utf8' })
  const first = run([])
  t.equal(first.status, 0, first.stderr)
  type Line = { line: number; before: string; after: string; outcome: string; by: string }
  const lines: Line[] = readFileSync(report, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const verdict = (line: number, before: string, after: string) =>
    lines.find((mutant) => mutant.line === line && mutant.before === before && mutant.after === after)
  t.match(verdict(1, '<', '>='), { outcome: 'killed', by: /test_toy: toy/ }, 'a tested line')
  t.match(verdict(1, '<', '<='), { outcome: 'equivalent', by: 'equal ones are equal' }, 'a listed equivalent')
  t.match(verdict(3, '(x > 9)', '(!(x > 9))'), { outcome: 'killed' }, 'the tested side of a branch')
  t.match(verdict(3, '>', '>='), { outcome: 'alive' }, 'canary: a bound that no test reaches')
  t.match(verdict(3, '9', '10'), { outcome: 'alive' }, 'canary: a constant that no test reaches')
  t.match(first.stdout, /no such mutant any more: native\/toy\/toy\.cpp {2}1 → 2/, 'a stale entry is told')
  t.equal(readFileSync(join(folder, 'native', 'toy', 'toy.cpp'), 'utf8'), toy, 'the checkout is as before')
  t.match(run(['--max-alive', '8']), { status: 1, stderr: /E_MUTANTS: [\d.]+ % alive/ }, 'too many are a failure')
})
