/** The operators of extra specs: `s== x`, `>= 4`, `<in> ssd`, `<all-in> a b`, `<or> a <or> b`; without one, equality. */
export function matchesSpec(value: string, requirement: string): boolean {
  const [operator, ...words] = requirement.trim().split(/\s+/)
  const rest = words.join(' ')
  switch (operator) {
    case '=':
    case '>=':
      return Number(value) >= Number(rest)
    case '==':
      return Number(value) === Number(rest)
    case '!=':
      return Number(value) !== Number(rest)
    case '<=':
      return Number(value) <= Number(rest)
    case '<':
      return Number(value) < Number(rest)
    case '>':
      return Number(value) > Number(rest)
    case 's==':
      return value === rest
    case 's!=':
      return value !== rest
    case 's<':
      return value < rest
    case 's<=':
      return value <= rest
    case 's>':
      return value > rest
    case 's>=':
      return value >= rest
    case '<in>':
      return value.includes(rest)
    case '<all-in>':
      return words.every((word) => value.includes(word))
    case '<or>':
      return words
        .join(' ')
        .split('<or>')
        .some((word) => word.trim() === value)
    default:
      return value === requirement
  }
}
