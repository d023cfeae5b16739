/* Parts of reading and writing a schema that have files of their own. */
#ifndef COLLECTION_SCHEMA_READ_H
#define COLLECTION_SCHEMA_READ_H

#include "collection/schema.h"

void schema_ranking_default(schema_ranking *r);
/* Members that are absent stay as they are. The fields have been read. */
forage_status schema_read_ranking(schema *s, const json_value *json, base_error *error);
void schema_copy_ranking(const schema *from, schema *to); /* the strings */
void schema_write_ranking(const schema_ranking *r, json_writer *w);

void schema_vector_default(schema_vector *v);
/* Members that are absent stay as they are; `dimensions` has been read. The message names the member, not the field. */
forage_status schema_read_vector(schema *s, schema_field *field, const json_value *json, base_error *error);
forage_status schema_read_weights(schema *s, schema_field *field, const json_value *json, base_error *error); /* likewise */
void schema_copy_vector(const schema_field *from, schema_field *to, arena *a); /* the strings */
void schema_write_vector(const schema_field *f, json_writer *w);
void schema_write_weights(const schema_field *f, json_writer *w);

#endif
