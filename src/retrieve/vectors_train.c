#include "retrieve/vectors_state.h"
bool vectors_wants_training(vectors *v, const vector_field *f, bool trained) { (void)v; (void)f; (void)trained; return false; }
forage_status vectors_train_catalogue(vectors *v, vector_field *f, encoder **out, base_error *error) { (void)v; (void)f; *out = NULL; (void)error; return FORAGE_OK; }
forage_status vectors_open_catalogue(vectors *v, vector_field *f, encoder **out, base_error *error) { (void)v; (void)f; (void)out; return error_set(error, FORAGE_E_NOT_FOUND, "not trained"); }
