#include "memory/query_memory_row.h"

#include "base/bytes.h"

#include <math.h>

#define FORMAT 2
#define FLAG_CELLS 1
#define FIRST_FORMAT_SIZE 16
#define FIRST_FORMAT_BORN_SIZE 24
#define HEAD_SIZE 36

#define MOST 1e9f /* that anything was ever counted */

/* Damaged or hostile counts never reach a learner. */
static float sane(float count) { return count > 0 && count <= MOST ? count : 0; }

bool memory_counts_read(slice bytes, memory_counts *out) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    memory_counts c = {0};
    uint8_t flags = 0;
    bool first = bytes.size == FIRST_FORMAT_SIZE || bytes.size == FIRST_FORMAT_BORN_SIZE;
    if (!first) {
        if (read_u8(&in) < FORMAT) return false;
        flags = read_u8(&in);
        c.era = read_u16(&in);
    }
    c.impressions = sane(read_f32(&in));
    c.rewards = sane(read_f32(&in));
    c.time = (int64_t)read_u64(&in);
    if (!first) {
        c.shown = read_u32(&in);
        c.earned = read_u32(&in);
    }
    if (bytes.size != FIRST_FORMAT_SIZE) c.born = read_u64(&in);
    c.capped = flags & FLAG_CELLS;
    for (int i = 0; c.capped && i < MEMORY_CELLS; i++) c.reward_cells[i] = read_u16(&in);
    for (int i = 0; c.capped && i < MEMORY_CELLS; i++) c.impression_cells[i] = read_u16(&in);
    if (in.failed) return false;
    *out = c;
    return true;
}

size_t memory_counts_write(const memory_counts *c, uint8_t out[MEMORY_COUNTS_SIZE]) {
    out[0] = FORMAT;
    out[1] = c->capped ? FLAG_CELLS : 0;
    store_le16(out + 2, c->era);
    memcpy(out + 4, &c->impressions, 4);
    memcpy(out + 8, &c->rewards, 4);
    store_le64(out + 12, (uint64_t)c->time);
    store_le32(out + 20, c->shown);
    store_le32(out + 24, c->earned);
    store_le64(out + 28, c->born);
    if (!c->capped) return HEAD_SIZE;
    memcpy(out + HEAD_SIZE, c->reward_cells, sizeof c->reward_cells);
    memcpy(out + HEAD_SIZE + sizeof c->reward_cells, c->impression_cells, sizeof c->impression_cells);
    return MEMORY_COUNTS_SIZE;
}

float memory_decay(int64_t then, int64_t now, int64_t half_life) {
    return now <= then || half_life <= 0 ? 1 : exp2f((float)(((double)then - (double)now) / (double)half_life));
}

static void halve(uint16_t cells[MEMORY_CELLS], unsigned times) {
    for (int i = 0; i < MEMORY_CELLS; i++) cells[i] = times < 16 ? (uint16_t)(cells[i] >> times) : 0;
}

static uint16_t era_of(int64_t time, int64_t half_life) { return half_life > 0 ? (uint16_t)(time / half_life) : 0; }

void memory_counts_age(memory_counts *c, int64_t now, int64_t half_life) {
    if (now <= c->time) return;
    float left = memory_decay(c->time, now, half_life);
    c->impressions *= left;
    c->rewards *= left;
    c->time = now;
    unsigned eras = (uint16_t)(era_of(now, half_life) - c->era);
    halve(c->reward_cells, eras);
    halve(c->impression_cells, eras);
    c->era = era_of(now, half_life);
}

void memory_counts_cap(memory_counts *c, int64_t half_life) {
    if (c->capped) return;
    c->capped = true;
    c->era = era_of(c->time, half_life);
}

#define UNIT 64.0f
#define ALLOWED (2u * 64)
#define MAX_AMOUNT 16.0f /* of one event, long beyond any reward */

float memory_cells_take(uint16_t cells[MEMORY_CELLS], uint64_t who, float amount) {
    if (!(amount > 0)) return 0;
    uint16_t *mine = &cells[who % MEMORY_CELLS];
    uint32_t others = 0;
    for (int i = 0; i < MEMORY_CELLS; i++) others += cells[i];
    others -= *mine;
    uint32_t most = ALLOWED + 2 * others / (MEMORY_CELLS - 1);
    uint32_t asked = (uint32_t)ceilf(fminf(amount, MAX_AMOUNT) * UNIT), room = most > *mine ? most - *mine : 0;
    uint32_t taken = asked < room ? asked : room;
    if (*mine + taken > UINT16_MAX) halve(cells, 1); /* only their proportions matter by now */
    *mine = (uint16_t)(*mine + taken);
    return taken == asked ? amount : fminf(amount, (float)taken / UNIT);
}
