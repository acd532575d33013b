/** As Nova's older parts write times: no zone, microseconds. */
export const micro = (time: string | null) => (time === null ? null : `${time.slice(0, 23)}000`)
