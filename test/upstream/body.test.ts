import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { Whole } from '../../src/upstream/body.ts'
import type { ArtifactBody } from '../../src/upstream/upstream.ts'

const BODY = randomBytes(200_000)

/** The pieces that a body of chunks of these sizes, taken in turn, is handed over in. */
function piecesOf(sizes: readonly number[]): readonly Uint8Array[] {
  let body: ArtifactBody | undefined
  const whole = new Whole(
    {
      resolve: came => {
        body = came
      },
      reject: error => expect.unreachable(String(error)),
    },
    { offset: 0, keepsCut: true },
  )
  for (let at = 0, n = 0; at < BODY.length; n += 1) {
    const size = sizes[n % sizes.length] ?? 1
    whole.take(BODY.subarray(at, at + size))
    at += size
  }
  whole.end()
  if (body === undefined || !('pieces' in body)) return expect.unreachable('no body came')
  return body.pieces
}

test('a body in a few chunks is handed over uncopied', () => {
  const pieces = piecesOf([65_536])
  expect(pieces.map(({ length }) => length)).toEqual([65_536, 65_536, 65_536, 3_392])
  for (const piece of pieces) expect(piece.buffer).toBe(BODY.buffer)
})

test.for([
  ['single bytes', [1]],
  ['chunks that never fit', [9_000, 4_000, 1_900, 900, 400, 150, 70, 30, 10, 4, 1]],
  ['a large one among small ones', [20_000, ...Array<number>(100).fill(3)]],
] as const)('a body in %s stays in few pieces, and whole (P15)', ([, sizes]) => {
  const pieces = piecesOf(sizes)
  expect(pieces.length).toBeLessThanOrEqual(33)
  expect(Buffer.concat(pieces).equals(BODY)).toBe(true)
})
