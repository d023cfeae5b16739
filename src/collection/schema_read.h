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

/* ---- What the vectors' encoders and the cross-encoder have in common; the messages name the member ---- */

/* The place of the member's value among `names`; *out stays when it is absent. */
forage_status schema_read_name(const json_value *json, const char *key, const char *const *names, int *out, base_error *error);
forage_status schema_read_text(schema *s, const json_value *json, const char *key, char **out, base_error *error);
/* `json` is the member "from": names of fields whose texts are read. */
forage_status schema_read_from(schema *s, const json_value *json, char *from[SCHEMA_MAX_FROM], uint32_t *n, base_error *error);
void schema_write_from(char *const *from, uint32_t n, json_writer *w);
char *schema_copy_text(arena *a, const char *text); /* NULL stays NULL */

/* "cross_encoder" of "ranking": replaced as a whole, gone with null. */
forage_status schema_read_cross(schema *s, const json_value *json, base_error *error);
void schema_copy_cross(schema_cross *c, arena *a); /* the strings */
void schema_write_cross(const schema_cross *c, json_writer *w); /* the value */

#endif
