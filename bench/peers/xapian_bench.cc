/* Xapian for bench_sparse.
 *
 *     xapian_bench index TOKENS FOLDER                 one JSON object: documents, cpu_s, wall_s, bytes
 *     xapian_bench search FOLDER QUERIES MODES RUNS    a JSON object per query and mode, then one of the process
 */
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>
#include <xapian.h>

static const unsigned BATCH = 100000; /* documents between flushes */

static double cpu_seconds() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static std::vector<std::string> words_of(const std::string &line) {
    std::vector<std::string> words;
    std::istringstream in(line);
    for (std::string word; in >> word;)
        if (word.size() <= 200) words.push_back(word); /* a term has 245 bytes at most */
    return words;
}

static int build(const char *tokens, const std::string &folder) {
    std::string raw = folder + ".raw";
    double cpu = cpu_seconds(), wall = wall_seconds();
    unsigned n = 0;
    {
        Xapian::WritableDatabase db(raw, Xapian::DB_CREATE_OR_OVERWRITE);
        std::ifstream file(tokens);
        for (std::string line; std::getline(file, line); n++) {
            Xapian::Document document;
            Xapian::termpos position = 0;
            for (const std::string &word : words_of(line)) document.add_posting(word, ++position);
            db.add_document(document);
            if (n % BATCH == BATCH - 1) db.commit();
        }
        db.commit();
        db.compact(folder, Xapian::DBCOMPACT_SINGLE_FILE);
    }
    cpu = cpu_seconds() - cpu;
    wall = wall_seconds() - wall;
    struct stat status;
    if (stat(folder.c_str(), &status) != 0) return 1;
    std::printf("{\"engine\": \"Xapian %s\", \"documents\": %u, \"cpu_s\": %.3f, \"wall_s\": %.3f, \"bytes\": %lld}\n",
                Xapian::version_string(), n, cpu, wall, (long long)status.st_size);
    return 0;
}

struct question {
    std::string kind;
    Xapian::Query query;
};

static std::vector<question> questions_of(const char *path) {
    std::vector<question> found;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        std::vector<std::string> words = words_of(line);
        std::string kind = words.front();
        words.erase(words.begin());
        Xapian::Query::op op = kind == "union" ? Xapian::Query::OP_OR : kind == "phrase" ? Xapian::Query::OP_PHRASE : Xapian::Query::OP_AND;
        Xapian::Query query = kind == "phrase" ? Xapian::Query(op, words.begin(), words.end(), (Xapian::termcount)words.size())
                                               : Xapian::Query(op, words.begin(), words.end());
        found.push_back({kind, query});
    }
    return found;
}

/* The k best, without a count; k = 0: only how many match. */
static Xapian::MSet one(const Xapian::Database &db, const Xapian::Query &query, unsigned k) {
    Xapian::Enquire enquire(db);
    enquire.set_weighting_scheme(Xapian::BM25Weight(0.9, 0, 1, 0.4, 0));
    if (k == 0) enquire.set_weighting_scheme(Xapian::BoolWeight());
    enquire.set_query(query);
    return k ? enquire.get_mset(0, k) : enquire.get_mset(0, 0, db.get_doccount());
}

static void print_memory() {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
        long long kib;
        char name[16];
        if (std::sscanf(line.c_str(), "%15[^:]: %lld kB", name, &kib) != 2) continue;
        for (const char *wanted : {"VmRSS", "RssAnon", "RssFile"})
            if (std::strcmp(name, wanted) == 0) std::printf(", \"%s\": %lld", name, kib * 1024);
    }
}

static int search(const char *folder, const char *path, const char *modes, int runs) {
    Xapian::Database db(folder);
    std::vector<question> questions = questions_of(path);
    std::istringstream in(modes);
    for (std::string mode; std::getline(in, mode, ',');) {
        unsigned k = (unsigned)std::stoul(mode);
        std::vector<long long> best(questions.size(), LLONG_MAX);
        for (int run = 0; run <= runs; run++) {
            for (size_t i = 0; i < questions.size(); i++) {
                auto start = std::chrono::steady_clock::now();
                one(db, questions[i].query, k);
                auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
                if (run) best[i] = std::min(best[i], (long long)took);
            }
        }
        for (size_t i = 0; i < questions.size(); i++) {
            Xapian::MSet found = one(db, questions[i].query, k);
            unsigned n = k ? (unsigned)found.size() : (unsigned)found.get_matches_estimated();
            std::printf("{\"i\": %zu, \"class\": \"%s\", \"k\": %u, \"ns\": %lld, \"n\": %u", i, questions[i].kind.c_str(), k, best[i], n);
            const char *comma = ", \"top\": [";
            for (Xapian::MSetIterator hit = found.begin(); k == 10 && hit != found.end(); ++hit, comma = ", ")
                std::printf("%s%u", comma, (unsigned)*hit - 1); /* its documents count from 1 */
            std::printf(k == 10 && found.size() ? "]}\n" : "}\n");
        }
    }
    std::printf("{\"engine\": \"Xapian %s\"", Xapian::version_string());
    print_memory();
    std::printf("}\n");
    return 0;
}

int main(int argc, char **argv) {
    try {
        if (argc == 4 && std::strcmp(argv[1], "index") == 0) return build(argv[2], argv[3]);
        if (argc == 6 && std::strcmp(argv[1], "search") == 0) return search(argv[2], argv[3], argv[4], std::atoi(argv[5]));
    } catch (const Xapian::Error &error) {
        std::fprintf(stderr, "xapian_bench: %s\n", error.get_description().c_str());
        return 1;
    }
    std::fprintf(stderr, "usage: xapian_bench index TOKENS FOLDER | search FOLDER QUERIES MODES RUNS\n");
    return 1;
}
