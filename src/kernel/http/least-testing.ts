/** What stands in for a body: as it is, and what is said of it. */
export type Lesser = [what: string, body: unknown]

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** A body made less, in each of its objects: without each property, with each alone, with none at all, null for each that the schemas know, and each of another kind. */
export function lesserBodies(body: unknown, schemas: any[]): Lesser[] {
  const found = new Map<string, Lesser>()
  const add = (what: string, less: unknown) => {
    const text = JSON.stringify(less)
    if (text !== JSON.stringify(body) && !found.has(text)) found.set(text, [what, less])
  }
  const within = (value: unknown, known: any[], at: string, put: (inside: unknown) => unknown): void => {
    if (Array.isArray(value)) {
      add(`none at ${at}`, put([]))
      if (value.length > 0)
        within(
          value[0],
          inner(known, ({ items }) => [items]),
          `${at}[]`,
          (first) => put([first, ...value.slice(1)]),
        )
      return
    }
    if (!isObject(value)) return
    const properties = known.flatMap((one) => Object.entries<any>(one.properties ?? {}))
    const required = known.map((one): string[] => one.required ?? [])
    add(`nothing at ${at}`, put({}))
    for (const names of required) add(`what must be at ${at}`, put(only(value, (name) => names.includes(name))))
    for (const name of Object.keys(value)) {
      add(`without ${at}${name}`, put(only(value, (other) => other !== name)))
      add(`${at}${name} alone`, put({ [name]: value[name] }))
      add(`${at}${name} of another kind`, put({ ...value, [name]: ofAnotherKind(value[name]) }))
    }
    for (const name of new Set([...Object.keys(value), ...properties.map(([name]) => name)]))
      add(`null for ${at}${name}`, put({ ...value, [name]: null }))
    for (const [name, one] of Object.entries(value)) {
      const own = properties.filter(([other]) => other === name).map(([, schema]) => schema)
      within(
        one,
        inner(own, (schema) => [schema]),
        `${at}${name}/`,
        (inside) => put({ ...value, [name]: inside }),
      )
    }
  }
  within(
    body,
    inner(schemas, (schema) => [schema]),
    '/',
    (inside) => inside,
  )
  return [...found.values()]
}

const ofAnotherKind = (value: unknown) => (typeof value === 'object' ? 'x' : [value])

const only = (value: Record<string, unknown>, wanted: (name: string) => boolean) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => wanted(name)))

/** Of these schemas what `part` picks, the members of unions each for itself. */
function inner(schemas: any[], part: (schema: any) => any[]): any[] {
  const members = (schema: any): any[] => (schema?.anyOf ?? schema?.oneOf)?.flatMap(members) ?? [schema]
  return schemas.flatMap(part).flatMap(members).filter(isObject)
}
