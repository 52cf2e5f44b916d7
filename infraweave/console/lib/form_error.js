/** A field of a form that does not hold a valid value. */
export class FormError extends Error {}
