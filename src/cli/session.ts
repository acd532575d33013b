import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { adminPasswordOf } from '../cloud/client-files.ts'
import { type Running, whoRuns } from '../cloud/lock.ts'
import { defaultStateDir } from '../cloud/settings.ts'
import { badRequest, notFound } from '../kernel/errors/errors.ts'
import { Api } from './api.ts'
import { trustCloudOf } from './trust.ts'

export interface StateArgs {
  stateDir: string
  positionals: string[]
  json: boolean
  help: boolean
}

/** `[--state DIR] [--json] ARGUMENT...`, as the commands about a running cloud take them. */
export function stateArgs(argv: string[]): StateArgs {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      options: { state: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    })
    return { stateDir: resolve(values.state ?? defaultStateDir()), positionals, json: values.json === true, help: values.help === true }
  } catch (error) {
    throw badRequest((error as Error).message, 'Usage')
  }
}

/** @throws Fault 404 when no cloud runs on `stateDir` */
export async function runningCloud(stateDir: string): Promise<Running> {
  const running = await whoRuns(stateDir)
  if (!running) throw notFound(`no cloud runs on ${stateDir}; start one with: npm start -- --state ${stateDir}`)
  return running
}

export async function adminApi(stateDir: string): Promise<Api> {
  const { url } = await runningCloud(stateDir)
  trustCloudOf(stateDir)
  return new Api({ url, username: 'admin', password: adminPasswordOf(stateDir), project: 'demo' })
}
