import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import YAML from 'yaml'
import type { Secrets } from './secrets.ts'

/** Writes `openrc` and `clouds.yaml` (mode 0600): clouds `yun` (admin) and `yun-demo` (the demo user). `certificate`: what clients are to trust. */
export function writeClientFiles(
  stateDir: string,
  url: string,
  region: string,
  secrets: Secrets,
  certificate: string | null = null,
): { openrc: string; cloudsYaml: string } {
  const openrc = join(stateDir, 'openrc')
  const cloudsYaml = join(stateDir, 'clouds.yaml')
  const variables: Record<string, string> = {
    OS_AUTH_URL: `${url}/identity/v3`,
    OS_USERNAME: 'admin',
    OS_PASSWORD: secrets.adminPassword,
    OS_PROJECT_NAME: 'demo',
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_DOMAIN_NAME: 'Default',
    OS_REGION_NAME: region,
    OS_IDENTITY_API_VERSION: '3',
    OS_IMAGE_API_VERSION: '2',
    OS_VOLUME_API_VERSION: '3',
    ...(certificate ? { OS_CACERT: certificate } : {}),
  }
  write(
    openrc,
    `${Object.entries(variables)
      .map(([name, value]) => `export ${name}=${value}`)
      .join('\n')}\n`,
  )
  const cloud = (name: string, username: string, password: string) =>
    `  ${name}:\n    region_name: ${region}\n${certificate ? `    cacert: ${certificate}\n` : ''}    identity_api_version: 3\n    auth:\n      auth_url: ${url}/identity/v3\n      username: ${username}\n      password: ${password}\n      project_name: demo\n      user_domain_name: Default\n      project_domain_name: Default\n`
  write(cloudsYaml, `clouds:\n${cloud('yun', 'admin', secrets.adminPassword)}${cloud('yun-demo', 'demo', secrets.demoPassword)}`)
  return { openrc, cloudsYaml }
}

const write = (file: string, text: string) => writeFileSync(file, text, { mode: 0o600 })

/** As the client files of a running cloud have it: secrets themselves may lie elsewhere. */
export const adminPasswordOf = (stateDir: string): string =>
  YAML.parse(readFileSync(join(stateDir, 'clouds.yaml'), 'utf8')).clouds.yun.auth.password
