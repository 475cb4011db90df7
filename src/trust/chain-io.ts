/** The files of a chain as they were kept; `roots` from the pinned one up, `root` the newest. */
export interface KeptChain {
  readonly root: Uint8Array
  readonly roots: readonly Uint8Array[]
  readonly timestamp?: Uint8Array
  readonly snapshot?: Uint8Array
  readonly targets?: Uint8Array
  readonly book?: Uint8Array
  /** Delegated roles by the name of their file, with its version: `3.bin-2a.json`. */
  readonly delegated?: (file: string) => Uint8Array | undefined
}

/** How the workflow reaches the outside; each `keep` is durable when it resolves. */
export interface ChainIo {
  /** Undefined: the upstream has no such file. */
  fetch(file: string, bytesMax: number): Promise<Uint8Array | undefined>
  keep(file: string, bytes: Uint8Array): Promise<void>
  drop(files: readonly string[]): Promise<void>
  /** Bytes that contradict others of the same version, both signed: for whoever has to judge. */
  accuse(file: string, contents: readonly Uint8Array[]): Promise<void>
}
