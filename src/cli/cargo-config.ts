import { mirrorUrl } from '../registry/config-json.ts'
import { type Context, openConfigured } from './context.ts'

/** `crateferry cargo-config`: what goes into a client's `$CARGO_HOME/config.toml`. */
export async function cargoConfigCommand(
  context: Context,
  options: { readonly url?: string },
): Promise<number> {
  const url = mirrorUrl(options.url ?? (await openConfigured(context)).config.serve.url)
  const config = cargoConfig(url)
  context.out.result({ url, config }, [config.trimEnd()])
  return 0
}

/** Source replacement, so that lock files stay those of crates.io. The final slash is needed. */
export function cargoConfig(url: string): string {
  return `# for $CARGO_HOME/config.toml (usually ~/.cargo/config.toml)
[source.crates-io]
replace-with = "mirror"

[source.mirror]
registry = "sparse+${url}/index/"
`
}
