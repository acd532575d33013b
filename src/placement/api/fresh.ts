import { type ApiRequest, Reply } from '../../kernel/http/route.ts'

/** From microversion 1.15 every answer with a body says that it must not be kept, and how old it is (`at`, ISO; else now). */
export function fresh(
  request: ApiRequest,
  body: unknown,
  options: { at?: string; status?: number; headers?: Record<string, string> } = {},
): Reply {
  const dated: Record<string, string> = request.version.atLeast('1.15')
    ? { 'Cache-Control': 'no-cache', 'Last-Modified': new Date(options.at ?? Date.now()).toUTCString() }
    : {}
  return new Reply(body, { status: options.status, headers: { ...dated, ...options.headers } })
}
