/* A stem should not depend on whether somebody typed the accents: "informacion" and "información" have to meet. So the
 * stemmer sees the folded word, with the accents put back that its suffixes are spelled with. Turkish, Hungarian,
 * Lithuanian, Irish and Serbian are the exception: their suffixes cannot be told without the accents. */
#include "text/stem.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>

struct text_stemmers {
    struct sb_stemmer *open[TEXT_LANGUAGES];
};

static const char *const algorithms[TEXT_LANGUAGES] = {
    [TEXT_AR] = "arabic",     [TEXT_CA] = "catalan",  [TEXT_DA] = "danish",     [TEXT_DE] = "german",
    [TEXT_EL] = "greek",      [TEXT_EN] = "english",  [TEXT_ES] = "spanish",    [TEXT_EU] = "basque",
    [TEXT_FI] = "finnish",    [TEXT_FR] = "french",   [TEXT_GA] = "irish",      [TEXT_HI] = "hindi",
    [TEXT_HU] = "hungarian",  [TEXT_HY] = "armenian", [TEXT_ID] = "indonesian", [TEXT_IT] = "italian",
    [TEXT_LT] = "lithuanian", [TEXT_NE] = "nepali",   [TEXT_NL] = "dutch",      [TEXT_NO] = "norwegian",
    [TEXT_PT] = "portuguese", [TEXT_RO] = "romanian", [TEXT_RU] = "russian",    [TEXT_SR] = "serbian",
    [TEXT_SV] = "swedish",    [TEXT_TA] = "tamil",    [TEXT_TR] = "turkish",    [TEXT_YI] = "yiddish",
};

static const struct {
    text_language language;
    const char *plain, *accented;
} endings[] = {
    {TEXT_CA, "acio", "ació"},   {TEXT_ES, "acion", "ación"}, {TEXT_ES, "ucion", "ución"},
    {TEXT_FR, "ee", "ée"},       {TEXT_FR, "ees", "ées"},     {TEXT_PT, "acao", "ação"},
    {TEXT_PT, "acoes", "ações"}, {TEXT_PT, "ucao", "ução"},   {TEXT_PT, "ucoes", "uções"},
};

text_stemmers *text_stemmers_create(void) { return mem_zalloc(1, sizeof(text_stemmers)); }

void text_stemmers_destroy(text_stemmers *s) {
    if (!s) return;
    for (size_t i = 0; i < TEXT_LANGUAGES; i++) sb_stemmer_delete(s->open[i]);
    free(s);
}

static bool needs_accents(text_language language) {
    return language == TEXT_TR || language == TEXT_HU || language == TEXT_LT || language == TEXT_GA ||
           language == TEXT_SR;
}

static bool has_digit(slice word) {
    for (size_t i = 0; i < word.size; i++)
        if (word.data[i] >= '0' && word.data[i] <= '9') return true;
    return false;
}

/* Writes the folded word as the stemmer wants it to see; `out` has room for one ending more than a word. */
static size_t respell(slice word, text_language language, char *out) {
    memcpy(out, word.data, word.size);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (endings[i].language != language) continue;
        size_t plain = strlen(endings[i].plain), accented = strlen(endings[i].accented);
        if (word.size <= plain || memcmp(word.data + word.size - plain, endings[i].plain, plain) != 0) continue;
        memcpy(out + word.size - plain, endings[i].accented, accented);
        return word.size - plain + accented;
    }
    return word.size;
}

size_t text_stem(text_stemmers *s, const text_folded *word, text_language language, char *out) {
    slice folded = {word->folded, word->folded_size};
    const char *algorithm = algorithms[language];
    if (algorithm && !s->open[language]) s->open[language] = sb_stemmer_new(algorithm, NULL);
    if (!s->open[language] || has_digit(folded)) goto unstemmed;

    char spelled[TEXT_WORD_BYTES + 16];
    slice input = {spelled, 0};
    if (needs_accents(language)) input = (slice){word->accented, word->accented_size};
    else input.size = respell(folded, language, spelled);
    const sb_symbol *stem = sb_stemmer_stem(s->open[language], (const sb_symbol *)input.data, (int)input.size);
    if (!stem) goto unstemmed;
    size_t size = (size_t)sb_stemmer_length(s->open[language]);
    size = text_fold_accents((slice){(const char *)stem, size}, out);
    if (size) return size;

unstemmed:
    memcpy(out, folded.data, folded.size);
    return folded.size;
}
