/** Something that no promise allows. Starts with the invariant's number. */
export class Violation extends Error {
  override name = 'Violation';
}
