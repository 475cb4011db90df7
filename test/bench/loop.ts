import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'

/**
 * An ext4 of its own in a file, mounted at `folder`: the place to measure where the machine's own
 * file system is an odd one. Needs root. The space is taken as it is written.
 */
export function mountLoop(folder: string, bytes: number): Disposable {
  const image = `${folder}.ext4`
  mkdirSync(folder, { recursive: true })
  shell(
    'truncate -s "$BYTES" "$IMAGE" && mkfs.ext4 -q "$IMAGE" && mount -o loop "$IMAGE" "$FOLDER"',
  )
  return {
    [Symbol.dispose]: () => {
      shell('umount "$FOLDER"')
      rmSync(folder, { recursive: true })
      rmSync(image)
    },
  }

  function shell(script: string): void {
    const named = { FOLDER: folder, IMAGE: image, BYTES: String(bytes) }
    execFileSync('sh', ['-c', script], { env: { ...process.env, ...named } })
  }
}
