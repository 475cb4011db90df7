import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Updater } from 'tuf-js'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { Registry } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

test('a stock TUF client follows what we sign, down to the root tile', {
  timeout: 30_000,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const [metadataDir, targetDir] = [registry.at('metadata'), registry.at('targets')]
  mkdirSync(metadataDir)
  mkdirSync(targetDir)
  copyFileSync(registry.root, join(metadataDir, 'root.json'))
  const base = `${upstream.url}tuf`
  const updater = new Updater({
    metadataDir,
    metadataBaseUrl: base,
    targetDir,
    targetBaseUrl: base,
  })
  await updater.refresh()
  const target = await updater.getTargetInfo('index-tree')
  if (target === undefined) throw new Error('the stock client finds no target index-tree')
  const tile = readFileSync(await updater.downloadTarget(target))
  expect(tile.toString()).toMatch(/^index-tree 1 leaf root 11\n/)
  const published = JSON.parse(readFileSync(registry.at('repository/state/published'), 'utf8'))
  expect(sha256(tile)).toBe((published as { tree: string }).tree)
})
