/** The first half of a SHA-256 in groups of four, for people who compare it by voice: 128 bits. */
export function aloud(hex: string): string {
  return hex.slice(0, 32).match(/.{4}/g)?.join(' ') ?? ''
}
