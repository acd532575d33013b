import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '../../kernel/exec/exec.ts'

const DAYS = 3650

/** A key and a certificate of itself for logging into Windows guests (WinRM): the user's name is in it as a UPN. PEM, both. @throws Fault 503 without openssl */
export async function makeCertificate(userId: string): Promise<{ publicKey: string; privateKey: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'yun-certificate-'))
  try {
    const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')]
    await exec('openssl', [
      ...['req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-days', String(DAYS), '-sha256'],
      ...['-subj', `/CN=${userId}`, '-keyout', key, '-out', certificate],
      ...['-addext', `subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:${userId}@localhost`, '-addext', 'extendedKeyUsage=clientAuth'],
    ])
    return { publicKey: await readFile(certificate, 'utf8'), privateKey: await readFile(key, 'utf8') }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
