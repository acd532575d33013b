/** Each role that comes with these, themselves included, and which one brings it. */
export function withImplied(roleIds: string[], impliedBy: (id: string) => string[]): Map<string, string | null> {
  const found = new Map<string, string | null>(roleIds.map((id) => [id, null]))
  for (const id of found.keys()) for (const next of impliedBy(id)) if (!found.has(next)) found.set(next, id)
  return found
}
