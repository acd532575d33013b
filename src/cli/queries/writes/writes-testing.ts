import type { Yard } from '../../../compute/sagas/testing.ts'
import type { Counts } from '../counting-testing.ts'
import type { Owners } from '../looks-testing.ts'
import type { Sown } from '../sown-testing.ts'

/** What one service's requests write, each route once or more, on what was sown; what is made for it is taken away again. */
export type Writes = (of: Sown, world: { yard: Yard; counts: Counts; owners: Owners }) => Promise<void>
