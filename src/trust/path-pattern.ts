/**
 * A path pattern of TUF 4.5: between slashes `*` stands for any characters and `?` for one, neither
 * for a slash; all else stands for itself. Remembers only the last `*`, so that no pattern takes
 * more than pattern times path steps.
 */
export function matchesPattern(pattern: string, path: string): boolean {
  const patterns = pattern.split('/')
  const segments = path.split('/')
  if (patterns.length !== segments.length) return false
  return patterns.every((one, i) => matchesSegment([...one], [...(segments[i] ?? '')]))
}

function matchesSegment(pattern: readonly string[], text: readonly string[]): boolean {
  let [p, t] = [0, 0]
  let star: { readonly p: number; t: number } | undefined
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = { p, t }
      p += 1
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p += 1
      t += 1
    } else if (star !== undefined) {
      // the star takes one character more
      star.t += 1
      p = star.p + 1
      t = star.t
    } else {
      return false
    }
  }
  return pattern.slice(p).every(one => one === '*')
}
