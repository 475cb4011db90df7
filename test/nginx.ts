import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface RunningNginx extends AsyncDisposable {
  readonly url: string
  readonly pid: number
}

/**
 * A real nginx on loopback that shows `folder` as it is, without any rewrite rule. Undefined, with
 * a loud line, where there is none.
 */
export async function startNginx(folder: string, port: number): Promise<RunningNginx | undefined> {
  const scratch = await mkdtemp(join(tmpdir(), 'crateferry-nginx-'))
  const file = join(scratch, 'nginx.conf')
  await writeFile(file, configuration(folder, scratch, port))
  const path = `${process.env['PATH']}:/usr/sbin`
  const child = spawn('nginx', ['-c', file, '-p', scratch, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PATH: path },
  })
  const failed = once(child, 'error').then(() => 'failed' as const)
  const started = once(child, 'spawn').then(() => 'started' as const)
  if ((await Promise.race([failed, started])) === 'failed') {
    process.stderr.write('NO NGINX JOURNEYS: there is no nginx here\n')
    await rm(scratch, { recursive: true })
    return undefined
  }
  failed.catch(() => {})
  const url = `http://127.0.0.1:${port}`
  await answering(url)
  return {
    url,
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGQUIT')
      await ended
      await rm(scratch, { recursive: true })
    },
  }
}

async function answering(url: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    try {
      await fetch(url)
      return
    } catch {
      await sleep(50)
    }
  }
  throw new Error(`nginx does not answer at ${url}`)
}

const configuration = (folder: string, scratch: string, port: number): string => `daemon off;
worker_processes 2;
pid ${scratch}/nginx.pid;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 1024; }
http {
  access_log off;
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
