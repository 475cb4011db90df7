import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface RunningNginx extends AsyncDisposable {
  readonly url: string
  readonly pid: number
}

export interface NginxOptions {
  /** A line for each request goes here. Nothing is logged without it: a log costs time. */
  readonly accessLog?: string
}

/**
 * A real nginx on loopback that shows `folder` as it is, without any rewrite rule. Undefined, with
 * a loud line, where there is none.
 */
export async function startNginx(
  folder: string,
  port: number,
  { accessLog }: NginxOptions = {},
): Promise<RunningNginx | undefined> {
  const scratch = await mkdtemp(join(tmpdir(), 'crateferry-nginx-'))
  const file = join(scratch, 'nginx.conf')
  await writeFile(file, configuration({ folder, scratch, port, accessLog }))
  // Debian keeps it where only root looks for programs
  const path = `${process.env['PATH']}:/usr/sbin`
  const child = spawn('nginx', ['-c', file, '-p', scratch, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PATH: path },
  })
  try {
    await once(child, 'spawn')
    await serving(child, join(scratch, 'nginx.pid'))
  } catch (error) {
    await rm(scratch, { recursive: true })
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    process.stderr.write('NO NGINX: what needs one is left out\n')
    return undefined
  }
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      if (!hasEnded(child)) {
        const ended = once(child, 'exit')
        child.kill('SIGQUIT')
        await ended
      }
      await rm(scratch, { recursive: true })
    },
  }
}

/** nginx cannot choose a port itself. Another process could take this one first, which is seen then. */
export async function freePort(): Promise<number> {
  await using server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** The pid file comes after the port is bound; that the port answers could be another's doing. */
async function serving(child: ChildProcess, pidFile: string): Promise<void> {
  while (!existsSync(pidFile)) {
    if (hasEnded(child)) throw new Error(`nginx ended with ${child.exitCode} instead of serving`)
    await sleep(20)
  }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null

interface Configured {
  readonly folder: string
  readonly scratch: string
  readonly port: number
  readonly accessLog: string | undefined
}

const configuration = ({ folder, scratch, port, accessLog }: Configured): string => `daemon off;
worker_processes 2;
pid ${scratch}/nginx.pid;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 1024; }
http {
  access_log ${accessLog ?? 'off'};
  log_not_found off;
  sendfile on;
  keepalive_requests 1000000;
  client_body_temp_path ${scratch}/body;
  proxy_temp_path ${scratch}/proxy;
  fastcgi_temp_path ${scratch}/fastcgi;
  uwsgi_temp_path ${scratch}/uwsgi;
  scgi_temp_path ${scratch}/scgi;
  server {
    listen 127.0.0.1:${port};
    root ${folder};
  }
}
`
