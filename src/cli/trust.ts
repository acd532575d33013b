import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'

/** This program trusts the certificate that the cloud of a state directory was told to show, as its openrc tells other clients to. */
export function trustCloudOf(stateDir: string): void {
  const certificate = /^export OS_CACERT=(.*)$/m.exec(readFileSync(join(stateDir, 'openrc'), 'utf8'))?.[1]
  if (certificate) tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(certificate, 'utf8')])
}
