#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const names[] = {"debug", "info", "warn", "error", "silent"};
static atomic_int chosen = -1; /* -1: nobody has set it */

static int level_from_environment(int fallback) {
    const char *wanted = getenv("FORAGE_LOG");
    for (int i = 0; wanted && i <= LOG_SILENT; i++)
        if (strcmp(wanted, names[i]) == 0) return i;
    return fallback;
}

void log_set_level(log_level level) { atomic_store(&chosen, level_from_environment((int)level)); }

void log_write(log_level level, const char *format, ...) {
    int least = atomic_load(&chosen);
    if (least < 0) {
        least = level_from_environment(LOG_WARN);
        atomic_store(&chosen, least);
    }
    if ((int)level < least || level >= LOG_SILENT) return;
    char line[2048], when[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s %-5s %s\n", when, names[level], line); /* one call: lines of threads do not mix */
}
