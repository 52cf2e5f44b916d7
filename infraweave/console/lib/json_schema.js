// JSON Schemas, made simple enough for a form. Pure.

import { fromFragment } from "./json_pointer.js";

/** The longest chain of references that is followed; longer ones are circular. */
const MAX_REFERENCES = 20;

/**
 * Simplify a schema: follow its references within `root`, and turn a union with null into the other type.
 *
 * Returns [schema, the references that were followed]; `nullable` in the schema says that null is allowed.
 */
export function resolveSchema(schema, root, references = []) {
  if (typeof schema !== "object" || schema === null) return [{}, references];
  if (schema.$ref?.startsWith("#") && references.length < MAX_REFERENCES) {
    const { $ref, ...rest } = schema;
    return resolveSchema({ ...lookUp($ref, root), ...rest }, root, [...references, $ref]);
  }
  if (schema.allOf?.length === 1) {
    const { allOf, ...rest } = schema;
    return resolveSchema({ ...allOf[0], ...rest }, root, references);
  }
  return resolveUnion(schema, root, references) ?? [withOneType(schema), references];
}

/** Resolve `anyOf` or `oneOf` of one schema and null; returns null for other schemas. */
function resolveUnion(schema, root, references) {
  const { anyOf, oneOf, ...rest } = schema;
  const options = anyOf ?? oneOf ?? [];
  const notNull = options.filter(({ type }) => type !== "null");
  if (notNull.length !== 1) return null;
  const [found, followed] = resolveSchema(notNull[0], root, references);
  return [{ ...found, ...rest, nullable: found.nullable || notNull.length < options.length }, followed];
}

function withOneType(schema) {
  if (!Array.isArray(schema.type)) return schema;
  const types = schema.type.filter((type) => type !== "null");
  return types.length === 1 ? { ...schema, type: types[0], nullable: schema.type.includes("null") } : schema;
}

const lookUp = (reference, root) => fromFragment(reference).reduce((found, key) => found?.[key], root);

/** Whether an object's schema does not name its members. */
export const isOpenObject = ({ properties, additionalProperties, patternProperties }) =>
  !Object.keys(properties ?? {}).length && Boolean(additionalProperties || patternProperties);
