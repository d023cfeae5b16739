/* A first search and a first feedback from C.
 *
 *     cc search.c -o search $(pkg-config --cflags --libs forage)
 *     ./search FOLDER
 *
 * FOLDER is made when it is not there. */
#include <forage.h>

#include <stdio.h>
#include <string.h>

static const char books[] =
    "{\"id\": \"b1\", \"type\": \"book\", \"title\": \"The Hunger Games\", \"year\": 2008, \"popularity\": 47}\n"
    "{\"id\": \"b2\", \"type\": \"book\", \"title\": \"Catching Fire\", \"year\": 2009, \"popularity\": 18}\n"
    "{\"id\": \"b3\", \"type\": \"book\", \"title\": \"Mockingjay\", \"year\": \"nineteen\"}\n"
    "{\"id\": \"b4\", \"type\": \"book\", \"title\": \"Hunger\", \"year\": 1890, \"popularity\": 2}\n"
    "{\"id\": \"f1\", \"type\": \"film\", \"title\": \"The Hunger Games\", \"year\": 2012, \"popularity\": 9}\n"
    "{\"id\": \"f2\", \"type\": \"film\", \"title\": \"The Game\", \"year\": 1997, \"popularity\": 3}\n";

static const char schema[] =
    "{\"fields\": {\"title\": {\"type\": \"text\", \"weight\": 2}, \"year\": {\"type\": \"number\"}},"
    " \"type\": \"type\", \"popularity\": \"popularity\"}";

static int search_and_print(forage_collection *c, const forage_search_request *request, forage_results **out,
                            forage_error *error) {
    if (forage_search(c, request, out, error) != FORAGE_OK) return error->status;
    printf("%s:", request->query);
    for (size_t i = 0; i < forage_results_count(*out); i++) {
        forage_hit hit = forage_results_hit(*out, i);
        printf(" %s(%s)", hit.id, hit.strategies);
    }
    printf("\n");
    return FORAGE_OK;
}

int main(int argc, char **argv) {
    forage *db = NULL;
    forage_collection *c = NULL;
    forage_results *results = NULL;
    forage_error error = {0};
    int status = forage_open(argc > 1 ? argv[1] : "example-data", &(forage_options){.seed = 1}, &db, &error);
    if (status != FORAGE_OK) goto done;

    forage_import_report report;
    if ((status = forage_collection_open(db, "library", FORAGE_CREATE, &c, &error)) != FORAGE_OK) goto done;
    if ((status = forage_collection_set_schema(c, schema, strlen(schema), &error)) != FORAGE_OK) goto done;
    if ((status = forage_import(c, books, strlen(books), "ndjson", &report, &error)) != FORAGE_OK) goto done;
    printf("%d of %d documents are in; %s\n", (int)report.indexed, (int)report.received, report.first_error);

    forage_search_request request = {.query = "hunger games", .filter = "{\"year\": {\"gte\": 1900}}"};
    if ((status = search_and_print(c, &request, &results, &error)) != FORAGE_OK) goto done;

    /* Somebody chose the film. The event is on disk, and learned from, when the call returns. */
    forage_event event = {.query_id = forage_results_query_id(results), .action = "click", .document = "f1"};
    if ((status = forage_record_event(c, &event, NULL, &error)) != FORAGE_OK) goto done;
    forage_results_free(results);
    results = NULL;
    status = search_and_print(c, &request, &results, &error);

done:
    if (status != FORAGE_OK) fprintf(stderr, "search: %s (%s)\n", error.message, forage_status_name(status));
    forage_results_free(results);
    forage_close(db);
    return status != FORAGE_OK;
}
