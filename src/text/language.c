#include "text/language.h"

#include "base/log.h"
#include "text/utf8.h"

#include <libexttextcat/textcat.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ISO 639-1, and other codes for the same language: ISO 639-2 (both kinds), retired and narrower ones. */
static const struct {
    char code[3];
    const char *others;
} languages[TEXT_LANGUAGES] = {
    [TEXT_ANY] = {"", ""},        [TEXT_AR] = {"ar", "ara"},     [TEXT_CA] = {"ca", "cat"},
    [TEXT_DA] = {"da", "dan"},    [TEXT_DE] = {"de", "deu ger"}, [TEXT_EL] = {"el", "ell gre"},
    [TEXT_EN] = {"en", "eng"},    [TEXT_ES] = {"es", "spa"},     [TEXT_EU] = {"eu", "eus baq"},
    [TEXT_FI] = {"fi", "fin"},    [TEXT_FR] = {"fr", "fra fre"}, [TEXT_GA] = {"ga", "gle"},
    [TEXT_HI] = {"hi", "hin"},    [TEXT_HU] = {"hu", "hun"},     [TEXT_HY] = {"hy", "hye arm"},
    [TEXT_ID] = {"id", "ind in"}, [TEXT_IT] = {"it", "ita"},     [TEXT_LT] = {"lt", "lit"},
    [TEXT_NE] = {"ne", "nep"},    [TEXT_NL] = {"nl", "nld dut"}, [TEXT_NO] = {"no", "nor nb nob nn nno"},
    [TEXT_PT] = {"pt", "por"},    [TEXT_RO] = {"ro", "ron rum"}, [TEXT_RU] = {"ru", "rus"},
    [TEXT_SR] = {"sr", "srp"},    [TEXT_SV] = {"sv", "swe"},     [TEXT_TA] = {"ta", "tam"},
    [TEXT_TR] = {"tr", "tur"},    [TEXT_YI] = {"yi", "yid ji"},  [TEXT_ZH] = {"zh", "zho chi cmn"},
    [TEXT_JA] = {"ja", "jpn"},    [TEXT_KO] = {"ko", "kor"},     [TEXT_TH] = {"th", "tha"},
};

const char *text_language_code(text_language language) {
    return (unsigned)language < TEXT_LANGUAGES ? languages[language].code : "";
}

/* Whether `word` is one of the space-separated words in `list`. */
static bool is_listed(slice word, const char *list) {
    while (*list) {
        size_t size = strcspn(list, " ");
        if (size == word.size && memcmp(list, word.data, size) == 0) return true;
        list += size + (list[size] == ' ');
    }
    return false;
}

forage_status text_language_from_code(slice code, text_language *out) {
    char bytes[3];
    slice primary = {bytes, 0};
    while (primary.size < code.size && code.data[primary.size] != '-' && code.data[primary.size] != '_') primary.size++;
    if (primary.size < 2 || primary.size > 3) return FORAGE_E_NOT_FOUND;
    for (size_t i = 0; i < primary.size; i++) {
        char c = code.data[i];
        bytes[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    for (unsigned language = 1; language < TEXT_LANGUAGES; language++) {
        if (!slice_is(primary, languages[language].code) && !is_listed(primary, languages[language].others)) continue;
        *out = (text_language)language;
        return FORAGE_OK;
    }
    return FORAGE_E_NOT_FOUND;
}

/* The fingerprints to compare with: the languages that have a name here, and others that would be taken for them. */
static const char fingerprints[] =
    "en de fr es it pt nl sv da nb nn fi ru ca el hu ro tr id ar hi ne eu ga hy lt sr-Cyrl sr-Latn ta yi "
    "af be bg bs cs cy eo et fa gl he hr is la lv mk mr ms pl sk sl sq sw tl uk ur vi";

/* libexttextcat reads its list of fingerprints from a file, and fails when one of them is missing: so the list is
 * written anew, of those that are there. */
static void *open_in(const char *folder) {
    char path[600], prefix[512];
    const char *temporary = getenv("TMPDIR");
    snprintf(prefix, sizeof prefix, "%s/libexttextcat/", folder);
    snprintf(path, sizeof path, "%s/forage-textcat-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (access(prefix, R_OK) != 0) return NULL;
    int fd = mkstemp(path);
    FILE *list = fd < 0 ? NULL : fdopen(fd, "w");
    if (!list) {
        if (fd >= 0) close(fd);
        return NULL;
    }
    size_t found = 0;
    for (const char *at = fingerprints; *at;) {
        int size = (int)strcspn(at, " ");
        char file[700];
        snprintf(file, sizeof file, "%s%.*s.lm", prefix, size, at);
        if (access(file, R_OK) == 0 && fprintf(list, "%.*s.lm %.*s--utf8\n", size, at, size, at) > 0) found++;
        at += size + (at[size] == ' ');
    }
    void *handle = fclose(list) == 0 && found >= 2 ? special_textcat_Init(path, prefix) : NULL;
    unlink(path);
    return handle;
}

static void *classifier; /* lives as long as the process; NULL when there are no data files */
static pthread_once_t opened = PTHREAD_ONCE_INIT;
static pthread_mutex_t using_it = PTHREAD_MUTEX_INITIALIZER; /* the library makes no promise about threads */

static void open_classifier(void) {
    const char *folders = getenv("XDG_DATA_DIRS");
    if (!folders || !*folders) folders = "/usr/local/share:/usr/share";
    while (*folders && !classifier) {
        size_t size = strcspn(folders, ":");
        char folder[400];
        if (size && size < sizeof folder) {
            memcpy(folder, folders, size);
            folder[size] = 0;
            classifier = open_in(folder);
        }
        folders += size + (folders[size] == ':');
    }
    if (!classifier) log_info("language detection works without libexttextcat's data files, which were not found");
}

static text_language language_of(const candidate_t *candidate) {
    text_language language = TEXT_ANY;
    text_language_from_code(slice_of(candidate->name), &language);
    return language;
}

/* The nearest fingerprint's language, where no other language is nearly as near: lower scores are nearer. */
static bool choose(const candidate_t *candidates, int count, text_language *out) {
    int best = 0;
    for (int i = 1; i < count; i++)
        if (candidates[i].score < candidates[best].score) best = i;
    for (int i = 0; i < count; i++) {
        bool near = candidates[i].score <= candidates[best].score * 1.03;
        if (near && language_of(&candidates[i]) != language_of(&candidates[best])) return false;
    }
    if (count > 0) *out = language_of(&candidates[best]);
    return count > 0;
}

bool text_textcat(slice text, text_language *out) {
    if (text.size < TEXT_TEXTCAT_MIN) return false;
    pthread_once(&opened, open_classifier);
    if (!classifier) return false;
    size_t size = text_cut(text.data, text.size, 400); /* more adds time, not certainty */
    pthread_mutex_lock(&using_it);
    candidate_t *candidates = textcat_GetClassifyFullOutput(classifier);
    int count = candidates ? textcat_ClassifyFull(classifier, text.data, size, candidates) : 0;
    bool certain = choose(candidates, count, out);
    if (candidates) textcat_ReleaseClassifyFullOutput(classifier, candidates);
    pthread_mutex_unlock(&using_it);
    return certain;
}
