/* BERT's WordPiece tokenizer, from `tokenizer.json` or else `vocab.txt` of a Hugging Face folder. do_lower_case, strip_accents and
 * tokenize_chinese_chars of `tokenizer_config.json` go before what tokenizer.json says. Token ids equal those of the reference
 * implementation, but for two rarities: added tokens that are matched in normalised text are matched in the text as it stands, ASCII
 * letters of either case; and `added_tokens.json` and `special_tokens_map.json` beside a vocab.txt are not read. */
#ifndef ENCODE_WORDPIECE_H
#define ENCODE_WORDPIECE_H

#include "base/memory.h"
#include "base/memory.h"
#include "base/status.h"

typedef struct wordpiece wordpiece;

typedef struct wordpiece_tokens {
    uint32_t n;            /* with [CLS] and [SEP] */
    const uint32_t *ids;
    const uint8_t *types;  /* 0: the first text, 1: the second */
} wordpiece_tokens;

forage_status wordpiece_open(const char *folder, wordpiece **out, base_error *error);
void wordpiece_close(wordpiece *w);
uint32_t wordpiece_size(const wordpiece *w); /* of the vocabulary */
/* The token's text ("##ing"); empty when there is no such id. */
slice wordpiece_token(const wordpiece *w, uint32_t id);
bool wordpiece_is_special(const wordpiece *w, uint32_t id);

/* [CLS] text [SEP], or [CLS] text [SEP] second [SEP] when `second` is not NULL; at most `most` tokens: of a pair the longer text
 * loses its end first. */
wordpiece_tokens wordpiece_encode(const wordpiece *w, slice text, const slice *second, uint32_t most, arena *a);

#endif
