/** What an operator may want to be told of. */
export const HOOK_EVENTS = [
  /** What is shown has changed, by a sync. */
  'published',
  /** A run failed or left crates held, after one that did not. */
  'degraded',
  /** What is published was not compared with its source for longer than it should be. */
  'stale',
  /** A guard, a signature or a version stopped a run: a person must look. */
  'guard',
  /** A bundle was imported. */
  'imported',
  /** Metadata or a root ends soon. */
  'expiring',
] as const

export type HookEvent = (typeof HOOK_EVENTS)[number]
