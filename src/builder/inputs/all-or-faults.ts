import { UserError } from "../../host/errors.ts";

/**
 * Awaits all, and answers their results. If the author has to change several things, one error says all of them, in
 * the order of the list and not of time.
 * @throws UserError with a line for each fault; anything else that was thrown comes first, as it is
 */
export async function allOrFaults<const T extends readonly unknown[]>(
  list: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const settled = await Promise.allSettled(list);
  const thrown = settled.flatMap((each): unknown[] => (each.status === "rejected" ? [each.reason] : []));
  const other = thrown.find((each) => !(each instanceof UserError));
  if (other !== undefined) throw other;
  const faults = thrown as UserError[];
  const [first, second] = faults;
  if (second !== undefined)
    throw new UserError([...new Set(faults.map(({ message }) => message))].join("\n"), { cause: first });
  if (first !== undefined) throw first;
  return await Promise.all(list);
}
