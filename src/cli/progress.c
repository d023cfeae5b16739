#include "cli/progress.h"

#include "cli/screen.h"
#include "os/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_US 100000
#define LOG_US 5000000
#define BAR 24

static int64_t now_us(void) { return clock_monotonic(&os_clock_system); }

progress progress_start(const char *unit, uint64_t total, bool quiet) {
    int64_t now = now_us();
    return (progress){unit, total, quiet, isatty(STDERR_FILENO), now, now};
}

double progress_seconds(const progress *p) {
    double seconds = (double)(now_us() - p->started_us) / 1e6;
    return seconds > 1e-6 ? seconds : 1e-6;
}

static void write_bar(buffer *line, double part) {
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int filled = (int)(part * BAR * 8);
    for (int cell = 0; cell < BAR; cell++) {
        int rest = filled - cell * 8;
        buffer_puts(line, rest >= 8 ? "█" : eighths[rest > 0 ? rest : 0]);
    }
    buffer_printf(line, " %3.0f %%  ", part * 100);
}

static size_t terminal_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

static bool is_due(progress *p) {
    int64_t now = now_us();
    if (p->quiet || now - p->shown_us < (p->terminal ? REDRAW_US : LOG_US)) return false;
    p->shown_us = now;
    return true;
}

static void draw(const progress *p, slice line) {
    if (p->terminal) {
        buffer fitted = {0};
        text_fit(&fitted, line, terminal_width() - 1);
        fprintf(stderr, "\r\033[K%s", buffer_text(&fitted));
        buffer_release(&fitted);
    } else {
        fprintf(stderr, "%.*s\n", SLICE_ARG(line));
    }
    fflush(stderr);
}

void progress_show(progress *p, uint64_t done, uint64_t count) {
    if (!is_due(p)) return;
    double seconds = progress_seconds(p), part = p->total ? (double)done / (double)p->total : 0;
    if (part > 1) part = 1;
    arena memory;
    arena_init(&memory, 1024);
    buffer line = {0};
    if (p->total && p->terminal) write_bar(&line, part);
    else if (p->total) buffer_printf(&line, "%3.0f %%  ", part * 100);
    buffer_printf(&line, "%s %s  %s/s", text_count(&memory, count), p->unit,
                  text_count(&memory, (uint64_t)((double)count / seconds)));
    if (part > 0.01 && part < 1)
        buffer_printf(&line, "  %s left", text_seconds(&memory, seconds * (1 - part) / part));
    draw(p, (slice){line.data, line.size});
    buffer_release(&line);
    arena_release(&memory);
}

void progress_tell(progress *p, double part, const char *text) {
    if (!is_due(p)) return;
    buffer line = {0};
    if (p->terminal) write_bar(&line, part < 0 ? 0 : part > 1 ? 1 : part);
    buffer_puts(&line, text);
    draw(p, (slice){line.data, line.size});
    buffer_release(&line);
}

void progress_clear(progress *p) {
    if (p->terminal && !p->quiet) fputs("\r\033[K", stderr);
}
