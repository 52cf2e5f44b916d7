// What a JSON Schema says of a value, with its references followed. Pure.

/** So many references lead to one place at most; more go round in circles. */
const MOST = 20;

/**
 * A schema with its references within `root` followed, and a union with null taken for what it is beside null.
 *
 * Returns [schema, the references that led there]; `nullable` in the schema says that null will do.
 */
export function resolve(schema, root, refs = []) {
  if (typeof schema !== "object" || schema === null) return [{}, refs];
  if (schema.$ref?.startsWith("#") && refs.length < MOST) {
    const { $ref, ...rest } = schema;
    return resolve({ ...at($ref, root), ...rest }, root, [...refs, $ref]);
  }
  if (schema.allOf?.length === 1) {
    const { allOf, ...rest } = schema;
    return resolve({ ...allOf[0], ...rest }, root, refs);
  }
  const either = schema.anyOf ?? schema.oneOf;
  const real = either?.filter((each) => each.type !== "null");
  if (real?.length === 1) {
    const { anyOf, oneOf, ...rest } = schema;
    const [found, led] = resolve(real[0], root, refs);
    return [{ ...found, ...rest, nullable: found.nullable || real.length < either.length }, led];
  }
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((each) => each !== "null");
    if (types.length === 1) return [{ ...schema, type: types[0], nullable: schema.type.includes("null") }, refs];
  }
  return [schema, refs];
}

/** What a reference within a schema stands for; undefined where there is nothing. */
const at = ($ref, root) =>
  $ref
    .slice(1)
    .split("/")
    .slice(1)
    .reduce((found, part) => found?.[plain(part)], root);
const plain = (part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");

/** Whether an object's members are named by whoever makes it, and not by its schema. */
export const isOpen = ({ properties, additionalProperties, patternProperties }) =>
  !Object.keys(properties ?? {}).length && Boolean(additionalProperties || patternProperties);
