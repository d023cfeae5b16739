/* What people choose changes what is shown: forty visitors search for the same word and want the fifth best match.
 *
 *     cc learn.c -o learn $(pkg-config --cflags --libs forage)
 *     ./learn FOLDER
 *
 * Prints the rank of the wanted document for the first visitor and for the last. */
#include <forage.h>

#include <stdio.h>
#include <string.h>

enum { VISITORS = 40, DOCUMENTS = 12, LIMIT = 10 };

static const char wanted[] = "jam-5";

/* Jams that differ in nothing but popularity: words alone cannot tell which one people want. */
static int import_jams(forage_collection *c, forage_error *error) {
    char lines[DOCUMENTS * 128];
    size_t size = 0;
    for (int i = 1; i <= DOCUMENTS; i++)
        size += (size_t)snprintf(lines + size, sizeof lines - size,
                                 "{\"id\": \"jam-%d\", \"title\": \"Strawberry jam number %d\", \"popularity\": %d}\n",
                                 i, i, 1000 / i);
    return forage_import(c, lines, size, "ndjson", NULL, error);
}

static size_t rank_of_wanted(const forage_results *results) {
    for (size_t i = 0; i < forage_results_count(results); i++)
        if (strcmp(forage_results_hit(results, i).id, wanted) == 0) return i + 1;
    return 0;
}

/* One visitor: searches, looks for the wanted jam, and takes it when it is on the page. */
static int visit(forage_collection *c, int visitor, size_t *rank, forage_error *error) {
    char user[16];
    snprintf(user, sizeof user, "visitor-%d", visitor);
    forage_search_request request = {.query = "strawberry jam", .limit = LIMIT, .user = user};
    forage_results *results = NULL;
    int status = forage_search(c, &request, &results, error);
    if (status != FORAGE_OK) return status;
    *rank = rank_of_wanted(results);
    forage_event event = {
        .query_id = forage_results_query_id(results), .action = "purchase", .document = wanted, .user = user};
    if (*rank) status = forage_record_event(c, &event, NULL, error);
    forage_results_free(results);
    return status;
}

int main(int argc, char **argv) {
    forage *db = NULL;
    forage_collection *c = NULL;
    forage_error error = {0};
    size_t first = 0, rank = 0;
    int status = forage_open(argc > 1 ? argv[1] : "example-data", &(forage_options){.seed = 1}, &db, &error);
    if (status == FORAGE_OK) status = forage_collection_open(db, "shop", FORAGE_CREATE, &c, &error);
    if (status == FORAGE_OK) status = import_jams(c, &error);
    for (int visitor = 1; visitor <= VISITORS && status == FORAGE_OK; visitor++) {
        status = visit(c, visitor, &rank, &error);
        if (visitor == 1) first = rank;
    }
    if (status == FORAGE_OK) {
        printf("%s was at rank %zu for the first visitor and at rank %zu for the last of %d\n", wanted, first, rank,
               VISITORS);
    } else {
        fprintf(stderr, "learn: %s (%s)\n", error.message, forage_status_name(status));
    }
    forage_close(db);
    return status != FORAGE_OK;
}
