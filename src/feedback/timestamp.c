#include "feedback/timestamp.h"

#include <stdio.h>

/* Days since 1970-01-01 of a proleptic Gregorian date, counting years from March so that the leap day comes last. */
static int64_t days_of(int64_t year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

typedef struct cursor {
    const char *at, *end;
} cursor;

static bool digits(cursor *c, int least, int most, int64_t *out) {
    int n = 0;
    int64_t value = 0;
    while (n < most && c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        value = value * 10 + (*c->at++ - '0');
        n++;
    }
    *out = value;
    return n >= least;
}

static bool accept(cursor *c, char wanted) {
    if (c->at == c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

/* *whole: down to the day, so that a time may follow. */
static bool read_date(cursor *c, int64_t *days, bool *whole) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool negative = accept(c, '-');
    int64_t year, month = 1, day = 1;
    if (!digits(c, 4, 4, &year)) return false;
    if (negative) year = -year;
    *whole = false;
    if (accept(c, '-')) {
        if (!digits(c, 2, 2, &month)) return false;
        *whole = accept(c, '-');
        if (*whole && !digits(c, 2, 2, &day)) return false;
    }
    if (month < 1 || month > 12 || day < 1) return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + (month == 2 && leap)) return false;
    *days = days_of(year, (int)month, (int)day);
    return true;
}

static bool read_zone(cursor *c, int64_t *seconds) {
    *seconds = 0;
    if (c->at == c->end || accept(c, 'Z') || accept(c, 'z')) return true;
    int sign = accept(c, '+') ? 1 : accept(c, '-') ? -1 : 0;
    int64_t hours, minutes = 0;
    if (!sign || !digits(c, 2, 2, &hours)) return false;
    if ((accept(c, ':') || c->at < c->end) && !digits(c, 2, 2, &minutes)) return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return hours <= 23 && minutes <= 59;
}

static bool read_time(cursor *c, int64_t *microseconds) {
    int64_t hour, minute, second = 0, fraction = 0, zone;
    if (!digits(c, 2, 2, &hour) || !accept(c, ':') || !digits(c, 2, 2, &minute)) return false;
    if (accept(c, ':')) {
        if (!digits(c, 2, 2, &second)) return false;
        if (accept(c, '.') || accept(c, ',')) {
            const char *start = c->at;
            if (!digits(c, 1, 6, &fraction)) return false;
            for (int64_t n = c->at - start; n < 6; n++) fraction *= 10;
            int64_t rest;
            digits(c, 0, 18, &rest); /* finer than microseconds: dropped */
        }
    }
    if (hour > 23 || minute > 59 || second > 60 || !read_zone(c, &zone)) return false;
    *microseconds = (hour * 3600 + minute * 60 + second - zone) * 1000000 + fraction;
    return true;
}

#define DAY_US ((int64_t)86400 * 1000000)

bool timestamp_read(slice text, int64_t *microseconds) {
    cursor c = {text.data, text.data + text.size};
    int64_t days, time = 0;
    bool whole;
    if (text.size > 64 || !read_date(&c, &days, &whole)) return false;
    if (whole && (accept(&c, 'T') || accept(&c, 't') || accept(&c, ' ')) && !read_time(&c, &time)) return false;
    if (c.at != c.end) return false;
    *microseconds = days * DAY_US + time;
    return true;
}

void timestamp_write(int64_t microseconds, char out[TIMESTAMP_SIZE]) {
    int64_t days = microseconds / DAY_US, rest = microseconds % DAY_US;
    if (rest < 0) {
        rest += DAY_US;
        days--;
    }
    int64_t year;
    int month, day;
    date_of(days, &year, &month, &day);
    int seconds = (int)(rest / 1000000), fraction = (int)(rest % 1000000);
    snprintf(out, TIMESTAMP_SIZE, "%s%04lld-%02d-%02dT%02d:%02d:%02d.%06dZ", year < 0 ? "-" : "",
             (long long)(year < 0 ? -year : year), month, day, seconds / 3600, seconds / 60 % 60, seconds % 60, fraction);
}
