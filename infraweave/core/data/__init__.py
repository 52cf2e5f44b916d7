"""JSON and types: values, schemas, templates, expressions, and the Python types of authors."""
