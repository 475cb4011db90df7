import { canonicalize } from '@tufjs/canonical-json'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { scanJson } from '../../src/registry/strict-json.ts'
import { canonicalJson, fileJson } from '../../src/trust/canonical.ts'
import type { Json } from '../../src/trust/json.ts'
import { LIMITS } from '../../src/trust/limits.ts'

const text = fc.string({
  unit: fc.constantFrom('a', 'B', '"', '\\', '/', '\n', '\u007f', 'é', '\ue000', '💎', ' ', '{'),
})
const { tree: value } = fc.letrec<{ tree: Json }>(tie => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false, 0, -1, 2 ** 53 - 1),
    text,
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(text, tie('tree'), { maxKeys: 4 }),
  ),
}))

test('what is told to be canonical as it stands is what would be written', () => {
  let [asItStands, written] = [0, 0]
  const spaces = fc.constantFrom(undefined, 1, '\t')
  fc.assert(
    fc.property(
      value,
      fc.constantFrom('canonical', 'file', 'as it came'),
      spaces,
      (value, how, space) => {
        const body =
          how === 'canonical'
            ? Buffer.from(canonicalJson(value)).toString()
            : how === 'file'
              ? Buffer.from(fileJson(value)).toString()
              : JSON.stringify(value, null, space)
        const bytes = Buffer.from(`{"before":[1],"signed":${body}, "after":{"b":1,"a":2}}`)
        let span: ReturnType<typeof spanOf>
        try {
          span = spanOf(bytes)
        } catch {
          // line ends as they are, which no JSON has
          expect(how).toBe('canonical')
          return
        }
        const slice = bytes.subarray(span.start, span.end)
        const right = canonicalJson(JSON.parse(slice.toString()) as Json)
        if (span.isCanonical) {
          asItStands += 1
          expect(Buffer.compare(slice, right), slice.toString()).toBe(0)
        } else {
          written += 1
        }
      },
    ),
    { numRuns: 10_000 },
  )
  expect(asItStands).toBeGreaterThan(1000)
  expect(written).toBeGreaterThan(1000)
})

function spanOf(bytes: Uint8Array): { start: number; end: number; isCanonical: boolean } {
  const { members } = scanJson(bytes, { depthMax: LIMITS.depth, integersOnly: true })
  const span = members.get('signed')
  if (span === undefined) throw new Error('no such member')
  return span
}

test.each([
  ['{"a":1,"b":2}', true],
  ['{"b":2,"a":1}', false],
  ['{"a":1, "b":2}', false],
  ['{"a":{"z":[1,{"x":1}],"y":1}}', false],
  ['"\\u0061"', false],
  ['"\\/"', false],
  ['"\\\\\\""', true],
  ['"é"', true],
  ['[1,2,[],{}]', true],
  [' 1', true],
  ['1 ', true],
])('%s is canonical as it stands: %s', (body, expected) => {
  expect(spanOf(Buffer.from(`{"signed":${body}}`)).isCanonical).toBe(expected)
})

test('on plain text it is what tuf-js has', () => {
  const plain = fc.jsonValue({ maxDepth: 4 }).map(one => integersOnly(one as Json))
  fc.assert(
    fc.property(plain, value => {
      expect(Buffer.from(canonicalJson(value)).toString()).toBe(canonicalize(value))
    }),
    { numRuns: 1000 },
  )
})

/** No fractions, which neither has a form for. */
function integersOnly(value: Json): Json {
  if (typeof value === 'number') return Math.trunc(value) % 1_000_000 || 0
  if (Array.isArray(value)) return (value as readonly Json[]).map(integersOnly)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, integersOnly(one)]))
}
