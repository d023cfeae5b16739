#include "cli/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const char *paint(text_style style) {
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[36m", "\033[33m"};
    static int colours = -1;
    if (colours < 0) {
        const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
        colours = isatty(STDOUT_FILENO) && !(no && *no) && !(terminal && strcmp(terminal, "dumb") == 0);
    }
    return colours ? codes[style] : "";
}

size_t screen_width(void) {
    struct winsize size;
    if (!isatty(STDOUT_FILENO)) return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
    return 80;
}

/* Reads one character; bytes that are no UTF-8 count as one character each. */
static uint32_t next_character(slice text, size_t *at) {
    uint8_t lead = (uint8_t)text.data[*at];
    size_t n = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
    uint32_t c = n == 1 ? lead : lead & (0x7fu >> n);
    if (*at + n > text.size || lead >= 0xf8) n = 1;
    for (size_t i = 1; i < n; i++) {
        uint8_t next = (uint8_t)text.data[*at + i];
        if ((next & 0xc0) != 0x80) {
            ++*at;
            return 0xfffd;
        }
        c = c << 6 | (next & 0x3f);
    }
    *at += n;
    return c;
}

typedef struct character_range {
    uint32_t low, high;
} character_range;

static bool in_ranges(uint32_t c, const character_range *ranges, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].low && c <= ranges[i].high) return true;
    return false;
}

/* Good for what stands in titles; terminals themselves differ on the rest. */
static size_t character_width(uint32_t c) {
    static const character_range zero[] = {{0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd}, {0x610, 0x61a},
        {0x64b, 0x65f}, {0x1ab0, 0x1aff}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20f0},
        {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}};
    static const character_range wide[] = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xac00, 0xd7a3},
        {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f},
        {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if (c < 0x300) return 1;
    if (in_ranges(c, zero, sizeof zero / sizeof *zero)) return 0;
    return in_ranges(c, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

static bool is_control(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t text_width(slice text) {
    size_t width = 0;
    for (size_t at = 0; at < text.size;) {
        uint32_t c = next_character(text, &at);
        width += is_control(c) ? 1 : character_width(c);
    }
    return width;
}

size_t text_fit(buffer *out, slice text, size_t width) {
    bool cut = width && text_width(text) > width;
    size_t room = cut ? width - 1 : (size_t)-1, used = 0;
    for (size_t at = 0; at < text.size;) {
        size_t start = at;
        uint32_t c = next_character(text, &at);
        bool control = is_control(c);
        size_t w = control ? 1 : character_width(c);
        if (used + w > room) break;
        if (control) buffer_putc(out, ' ');
        else if (c == 0xfffd || (at - start == 1 && c >= 0x80)) buffer_puts(out, "\xef\xbf\xbd");
        else buffer_append(out, text.data + start, at - start);
        used += w;
    }
    if (cut) {
        buffer_puts(out, "…");
        used++;
    }
    return used;
}

void text_clean(buffer *out, slice text) { text_fit(out, text, 0); }

const char *text_count(arena *a, uint64_t n) {
    char digits[32], grouped[48];
    size_t size = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (size_t i = 0; i < size; i++) {
        if (i && (size - i) % 3 == 0) grouped[at++] = ',';
        grouped[at++] = digits[i];
    }
    return arena_strndup(a, grouped, at);
}

const char *text_bytes(arena *a, uint64_t n) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)n;
    size_t unit = 0;
    while (value >= 1000 && unit < 4) value /= 1000, unit++;
    return arena_printf(a, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

const char *text_seconds(arena *a, double seconds) {
    if (seconds < 0.1) return arena_printf(a, "%.1f ms", seconds * 1000);
    if (seconds < 60) return arena_printf(a, "%.1f s", seconds);
    long whole = (long)(seconds + 0.5);
    if (whole < 3600) return arena_printf(a, "%ld min %ld s", whole / 60, whole % 60);
    return arena_printf(a, "%ld h %ld min", whole / 3600, whole % 3600 / 60);
}

const char *plural(uint64_t n, const char *one, const char *many) { return n == 1 ? one : many; }
