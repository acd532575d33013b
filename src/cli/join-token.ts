import { adminApi, stateArgs } from './session.ts'

export async function run(argv: string[]): Promise<number> {
  const { stateDir, json, help } = stateArgs(argv)
  if (help) {
    console.log(
      'Makes a token with which one host may join this cloud, within an hour.\n\nUsage: npx yun join-token [--state DIR] [--json]',
    )
    return 0
  }
  const api = await adminApi(stateDir)
  const made = await api.post('/cluster/v1/join-tokens', {})
  console.log(json ? JSON.stringify({ ...made, control: api.url }) : made.token)
  if (!json) console.error(`on the host: npx yun host --control ${api.url} --token ${made.token}`)
  return 0
}
