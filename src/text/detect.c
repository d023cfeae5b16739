/* Which language a text is in: its script first, then its function words and telling letters, then n-grams. A wrong
 * answer costs more than none (stems that never meet), so doubt gives the fallback. */
#include "text/language.h"
#include "text/stopwords.h"
#include "text/utf8.h"

#include <pthread.h>
#include <string.h>

enum { SAMPLE = 1000 }; /* bytes looked at */
#define PRIOR 1.5       /* the fallback's head start, in function words of its own */

typedef enum script {
    NO_LETTER,
    LATIN,
    GREEK,
    CYRILLIC,
    ARMENIAN,
    HEBREW,
    ARABIC,
    DEVANAGARI,
    TAMIL,
    THAI,
    HANGUL,
    KANA,
    HAN,
    UNNAMED,
    SCRIPTS
} script;

static const struct {
    uint32_t first, last;
    script script;
} ranges[] = {
    {'A', 'Z', LATIN},        {'a', 'z', LATIN},         {0xAA, 0xAA, LATIN},        {0xBA, 0xBA, LATIN},
    {0xC0, 0xD6, LATIN},      {0xD8, 0xF6, LATIN},       {0xF8, 0x24F, LATIN},       {0x370, 0x3FF, GREEK},
    {0x400, 0x52F, CYRILLIC}, {0x531, 0x587, ARMENIAN},  {0x5B0, 0x5F2, HEBREW},     {0x620, 0x65F, ARABIC},
    {0x66E, 0x6D3, ARABIC},   {0x750, 0x77F, ARABIC},    {0x900, 0x963, DEVANAGARI}, {0x980, 0xB7F, UNNAMED},
    {0xB80, 0xBE5, TAMIL},    {0xC00, 0xDFF, UNNAMED},   {0xE01, 0xE4E, THAI},       {0xE80, 0x10FF, UNNAMED},
    {0x1100, 0x11FF, HANGUL}, {0x1200, 0x1CFF, UNNAMED}, {0x1E00, 0x1EFF, LATIN},    {0x1F00, 0x1FFF, GREEK},
    {0x3041, 0x30FF, KANA},   {0x3131, 0x318E, HANGUL},  {0x31F0, 0x31FF, KANA},     {0x3400, 0x4DBF, HAN},
    {0x4E00, 0x9FFF, HAN},    {0xA000, 0xABFF, UNNAMED}, {0xAC00, 0xD7AF, HANGUL},   {0xF900, 0xFAFF, HAN},
    {0xFB1D, 0xFB4F, HEBREW}, {0xFB50, 0xFDFF, ARABIC},  {0xFE70, 0xFEFC, ARABIC},   {0xFF21, 0xFF3A, LATIN},
    {0xFF41, 0xFF5A, LATIN},  {0xFF66, 0xFF9D, KANA},    {0x20000, 0x323AF, HAN},
};

static script script_of(uint32_t c) {
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z' ? LATIN : NO_LETTER;
    size_t low = 0, high = sizeof ranges / sizeof *ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > ranges[middle].last) low = middle + 1;
        else high = middle;
    }
    bool inside = low < sizeof ranges / sizeof *ranges && c >= ranges[low].first;
    return inside ? ranges[low].script : NO_LETTER;
}

/* Letters that few languages use. TEXT_ANY stands for languages without a name here: Ukrainian, Persian, Polish … */
static const struct {
    const char *letters;
    double weight;
    text_language languages[3]; /* ends early with TEXT_LANGUAGES */
} telling[] = {
    {"ß", .5, {TEXT_DE, TEXT_LANGUAGES}},         {"ñ¿¡", .5, {TEXT_ES, TEXT_LANGUAGES}},
    {"ãõ", .5, {TEXT_PT, TEXT_LANGUAGES}},        {"œ", .5, {TEXT_FR, TEXT_LANGUAGES}},
    {"å", .2, {TEXT_SV, TEXT_DA, TEXT_NO}},       {"æø", .4, {TEXT_DA, TEXT_NO, TEXT_LANGUAGES}},
    {"ä", .15, {TEXT_DE, TEXT_SV, TEXT_FI}},      {"ü", .15, {TEXT_DE, TEXT_TR, TEXT_HU}},
    {"èàù", .2, {TEXT_FR, TEXT_IT, TEXT_CA}},     {"êâôû", .2, {TEXT_FR, TEXT_PT, TEXT_LANGUAGES}},
    {"őű", .8, {TEXT_HU, TEXT_LANGUAGES}},        {"ğı", .6, {TEXT_TR, TEXT_LANGUAGES}},
    {"ățșţ", .6, {TEXT_RO, TEXT_LANGUAGES}},      {"ėįųū", .5, {TEXT_LT, TEXT_LANGUAGES}},
    {"łżźśńřěů", .5, {TEXT_ANY, TEXT_LANGUAGES}}, {"ыэё", .5, {TEXT_RU, TEXT_LANGUAGES}},
    {"јљњћђџ", .8, {TEXT_SR, TEXT_LANGUAGES}},    {"іїєґўѓќѕ", .8, {TEXT_ANY, TEXT_LANGUAGES}},
    {"װױײ", .8, {TEXT_YI, TEXT_LANGUAGES}},       {"پچژگکیٹڈڑںےہ", .8, {TEXT_ANY, TEXT_LANGUAGES}},
};

typedef struct evidence {
    double scores[TEXT_LANGUAGES];
    size_t letters[SCRIPTS];
    size_t words;
} evidence;

static uint32_t lower(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3A9) || (c >= 0x410 && c <= 0x42F))
        return c + 32;
    if (c >= 0x400 && c <= 0x40F) return c + 80;
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177)) return c == 0x130 || c == 0x131 ? c : c | 1;
    return c;
}

enum { TELLING_END = 0x700 };
static uint8_t telling_row[TELLING_END]; /* of each character: 1 + its row in `telling`, or 0 */
static pthread_once_t built = PTHREAD_ONCE_INIT;

static void build(void) {
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        const char *letters = telling[i].letters;
        size_t left = strlen(letters), length;
        for (; left; left -= length, letters += length)
            telling_row[text_decode((const uint8_t *)letters, left, &length)] = (uint8_t)(i + 1);
    }
}

static void weigh_letter(evidence *e, uint32_t c) {
    if (c >= TELLING_END || !telling_row[c]) return;
    size_t row = telling_row[c] - 1;
    for (size_t l = 0; l < 3 && telling[row].languages[l] != TEXT_LANGUAGES; l++)
        e->scores[telling[row].languages[l]] += telling[row].weight;
}

/* A function word speaks for its languages: half of it in full, half shared among them. Single letters speak softly. */
static void weigh_word(evidence *e, slice word) {
    e->words++;
    uint64_t languages = text_stopword_languages(word);
    if (!languages) return;
    double weight = (word.size > 1 ? 1. : .5) * (.5 + .5 / __builtin_popcountll(languages));
    for (; languages; languages &= languages - 1) e->scores[__builtin_ctzll(languages)] += weight;
}

static void collect(slice text, evidence *e) {
    const uint8_t *p = (const uint8_t *)text.data;
    char word[48];
    size_t size = 0, length;
    bool long_word = false, clitic = false; /* after an apostrophe: the t of "don't" is no word */
    for (size_t i = 0; i <= text.size; i += length) {
        length = 1;
        uint32_t c = i < text.size ? text_decode(p + i, text.size - i, &length) : ' ';
        script s = script_of(c);
        if (s != NO_LETTER) {
            e->letters[s]++;
            char bytes[4];
            size_t n = text_encode(lower(c), bytes);
            if (c >= 0x80) weigh_letter(e, lower(c));
            if (size + n > sizeof word) long_word = true;
            else memcpy(word + size, bytes, n), size += n;
            continue;
        }
        if (c >= 0x80) weigh_letter(e, c); /* ¿ and ¡ */
        if (size && !long_word && !(clitic && size <= 2)) weigh_word(e, (slice){word, size});
        clitic = size && (c == '\'' || c == 0x2019);
        size = 0;
        long_word = false;
    }
}

static text_language answer(text_language language, double sure, double *confidence) {
    if (confidence) *confidence = sure < 0 ? 0 : sure > 1 ? 1 : sure;
    return language;
}

static text_language latin(slice text, const evidence *e, text_language fallback, double *confidence) {
    text_language best = TEXT_ANY;
    double top = -1, second = -1, own = 0, rest = 0;
    for (unsigned l = 0; l < TEXT_LANGUAGES; l++) {
        double score = e->scores[l] + (l == fallback && l != TEXT_ANY ? PRIOR : 0);
        if (score > top) {
            second = top;
            top = score;
            best = (text_language)l;
        } else if (score > second) {
            second = score;
        }
    }
    own = e->scores[best];
    for (unsigned l = 0; l < TEXT_LANGUAGES; l++)
        if (l != best && e->scores[l] > rest) rest = e->scores[l];
    double sure = own <= rest ? 0 : (1 - rest / own) * own / (own + 1);
    bool decided = top - second >= .6 && own >= 1.2;
    bool dense = e->words < 8 || own >= .2 * (double)e->words;
    if (decided && dense) return answer(best, sure, confidence);

    /* N-grams cost a hundred times as much, so they are asked only where the function words speak against the fallback,
     * or hardly speak in a text that has room for them. */
    bool ask = best != fallback || (e->words >= 15 && own < .1 * (double)e->words);
    text_language guess;
    if (ask && text_textcat(text, &guess)) {
        bool supported = guess == fallback || text.size >= 100 || (guess != TEXT_ANY && e->scores[guess] > 0);
        if (supported) return answer(guess, guess == best ? .7 : .5, confidence);
    }
    if (decided) return answer(best, sure / 2, confidence);
    return answer(fallback, best == fallback ? sure : 0, confidence);
}

static text_language cyrillic(slice text, const evidence *e, text_language fallback, double *confidence) {
    const double *scores = e->scores;
    text_language guess;
    if (scores[TEXT_ANY] > scores[TEXT_RU] && scores[TEXT_ANY] > scores[TEXT_SR])
        return answer(TEXT_ANY, .7, confidence);
    if (scores[TEXT_SR] > scores[TEXT_RU]) return answer(TEXT_SR, .8, confidence);
    /* Bulgarian and Macedonian share function words with Russian, but have no ы and э; Belarusian shows an і or ў. */
    bool own_letters = memmem(text.data, text.size, "ы", 2) || memmem(text.data, text.size, "э", 2);
    if (own_letters && scores[TEXT_RU] >= 2) return answer(TEXT_RU, .9, confidence);
    if (text_textcat(text, &guess)) return answer(guess, .7, confidence);
    if (fallback == TEXT_SR && scores[TEXT_RU] <= 0) return answer(TEXT_SR, .5, confidence);
    return answer(TEXT_RU, scores[TEXT_RU] > 0 ? .8 : .6, confidence);
}

static text_language devanagari(slice text, const evidence *e, text_language fallback, double *confidence) {
    double hindi = e->scores[TEXT_HI], nepali = e->scores[TEXT_NE];
    text_language guess;
    if (hindi - nepali >= 1) return answer(TEXT_HI, .8, confidence);
    if (nepali - hindi >= 1) return answer(TEXT_NE, .8, confidence);
    if (text_textcat(text, &guess)) return answer(guess, .6, confidence);
    return answer(fallback == TEXT_NE ? TEXT_NE : TEXT_HI, .5, confidence);
}

text_language text_detect_language(slice text, text_language fallback, double *confidence) {
    evidence e = {0};
    pthread_once(&built, build);
    text.size = text_cut(text.data, text.size, SAMPLE);
    collect(text, &e);

    /* A Chinese character or a kana tells as much as several letters of an alphabet. */
    size_t cjk = 2 * (e.letters[KANA] + e.letters[HAN]), all = cjk, most = cjk;
    script main_script = cjk ? HAN : NO_LETTER;
    for (unsigned s = LATIN; s < SCRIPTS; s++) {
        if (s == KANA || s == HAN) continue;
        all += e.letters[s];
        if (e.letters[s] <= most) continue;
        most = e.letters[s];
        main_script = (script)s;
    }
    double share = all ? (double)most / (double)all : 0;
    switch (main_script) {
    case LATIN: return latin(text, &e, fallback, confidence);
    case CYRILLIC: return cyrillic(text, &e, fallback, confidence);
    case DEVANAGARI: return devanagari(text, &e, fallback, confidence);
    case GREEK: return answer(TEXT_EL, .95 * share, confidence);
    case ARMENIAN: return answer(TEXT_HY, .95 * share, confidence);
    case TAMIL: return answer(TEXT_TA, .95 * share, confidence);
    case THAI: return answer(TEXT_TH, .95 * share, confidence);
    case HANGUL: return answer(TEXT_KO, .95 * share, confidence);
    case ARABIC: return answer(e.scores[TEXT_ANY] > 0 ? TEXT_ANY : TEXT_AR, .8 * share, confidence);
    case HEBREW: /* mostly Hebrew, which has no name here; Yiddish shows itself */
        if (e.scores[TEXT_YI] >= .8) return answer(TEXT_YI, .8 * share, confidence);
        return answer(fallback == TEXT_YI ? TEXT_YI : TEXT_ANY, .6 * share, confidence);
    case HAN:
        if (e.letters[KANA]) return answer(TEXT_JA, .95 * share, confidence);
        return answer(fallback == TEXT_JA ? TEXT_JA : TEXT_ZH, .7 * share, confidence);
    case UNNAMED: return answer(TEXT_ANY, .9 * share, confidence);
    default: return answer(fallback, 0, confidence);
    }
}
