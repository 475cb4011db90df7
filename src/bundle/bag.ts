import type { Checksum } from '../registry/checksum.ts'
import type { Bundle } from './bundle-json.ts'

/** The two lines of BagIt 1.0. */
export const BAGIT_TXT = 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n'

/** One bag of a bundle: the medium it was planned for, or a repetition of some volumes. */
export interface BagNumber {
  readonly kind: 'medium' | 'repetition'
  readonly number: number
}

const digits = (number: number, least: number): string => String(number).padStart(least, '0')

/** `cf-000151-f000137-m01`: for people; nothing is decided by it but which folders are looked at. */
export function bagName({ plan }: Pick<Bundle, 'plan'>, { kind, number }: BagNumber): string {
  const from =
    plan.want === null ? `f${digits(plan.base?.targets ?? 0, 6)}` : `w${plan.want.slice(0, 8)}`
  return `cf-${digits(plan.target.targets, 6)}-${from}-${kind === 'medium' ? 'm' : 'r'}${digits(number, 2)}`
}

const BAG_NAME = /^cf-[0-9]{6,12}-(?:f[0-9]{6,12}|w[0-9a-f]{8})-[mr][0-9]{2,3}$/

export function isBagName(name: string): boolean {
  return BAG_NAME.test(name)
}

/** What a bag says of itself; only its group is ever looked at again. */
export interface BagInfo {
  readonly bundleId: Checksum
  readonly medium: number
  readonly media: number
  /** Of the payload. */
  readonly files: number
  readonly bytes: number
  /** `YYYY-MM-DD`, UTC. */
  readonly date: string
  readonly agent: string
}

export function bagInfoText(info: BagInfo): string {
  return [
    `Bag-Group-Identifier: ${info.bundleId}`,
    `Bag-Count: ${info.medium} of ${info.media}`,
    `Payload-Oxum: ${info.bytes}.${info.files}`,
    `Bag-Size: ${info.bytes} bytes`,
    `Bagging-Date: ${info.date}`,
    `Bag-Software-Agent: ${info.agent}`,
    '',
  ].join('\n')
}

/** The bundle that a bag says it belongs to; undefined where it does not. */
export function bagGroup(text: string): string | undefined {
  return /^Bag-Group-Identifier: ([0-9a-f]{64})$/m.exec(text)?.[1]
}

/** What stands on the medium for whoever finds it, with what coreutils and tar can do there. */
export function readmeText(chain: 'upstream' | 'site'): string {
  const whose = chain === 'upstream' ? 'of its upstream' : 'of the site that made it'
  return `A bundle of crateferry, under the chain ${whose}. Nothing here is to be executed.

Whether all files are here and undamaged:
  sha256sum -c --strict tagmanifest-sha256.txt manifest-sha256.txt
What is in a volume, and out of it into the folder where you are:
  tar tvf data/crates/crates-00001.tar
  tar xf data/crates/crates-00001.tar
Whether what came out is what the volume's index says:
  cut -f3,4 --output-delimiter='  ' data/crates/crates-00001.idx | sha256sum -c
Who made it, and whether it is whole, only "crateferry bundle verify --root FILE" can tell.
For archives and links without a way back: par2 create -r5 beside the bag.
`
}
