/* Lucene for bench_sparse.
 *
 *   java … LuceneBench index TOKENS FOLDER                 one JSON object: documents, cpu_s, wall_s, bytes
 *   java … LuceneBench search FOLDER QUERIES MODES RUNS    a JSON object per query and mode, then one of the process
 *
 * sparse_peers.py tells where the jar comes from and how the virtual machine is started; README.md why these settings. */

import java.io.BufferedReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;
import org.apache.lucene.analysis.tokenattributes.OffsetAttribute;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.FieldType;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexOptions;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.SerialMergeScheduler;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.BooleanClause;
import org.apache.lucene.search.BooleanQuery;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.PhraseQuery;
import org.apache.lucene.search.Query;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.TermQuery;
import org.apache.lucene.search.TopDocs;
import org.apache.lucene.search.TopScoreDocCollectorManager;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.MMapDirectory;
import org.apache.lucene.util.Version;

public final class LuceneBench {
    static final float K1 = 0.9f, B = 0.4f;
    static final String BODY = "body";

    /** Splits at single spaces and does nothing else. */
    static final class Spaces extends Tokenizer {
        private final CharTermAttribute term = addAttribute(CharTermAttribute.class);
        private final OffsetAttribute offset = addAttribute(OffsetAttribute.class);
        private final char[] room = new char[1 << 16];
        private int filled, at, before;

        @Override
        public boolean incrementToken() throws java.io.IOException {
            clearAttributes();
            term.setEmpty();
            int size = 0;
            while (true) {
                if (at == filled) {
                    before += filled;
                    filled = Math.max(input.read(room, 0, room.length), 0);
                    at = 0;
                    if (filled == 0) break;
                }
                char c = room[at++];
                if (c == ' ' && size > 0) break;
                if (c != ' ') {
                    term.append(c);
                    size++;
                }
            }
            if (size > 0) offset.setOffset(before + at - size, before + at);
            return size > 0;
        }

        @Override
        public void reset() throws java.io.IOException {
            super.reset();
            filled = at = before = 0;
        }
    }

    static final class SpacesAnalyzer extends Analyzer {
        @Override
        protected TokenStreamComponents createComponents(String field) {
            return new TokenStreamComponents(new Spaces());
        }
    }

    static double cpuSeconds() {
        return ((com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime() / 1e9;
    }

    static void index(String tokens, Path folder) throws Exception {
        IndexWriterConfig config = new IndexWriterConfig(new SpacesAnalyzer());
        config.setSimilarity(new BM25Similarity(K1, B));
        config.setOpenMode(IndexWriterConfig.OpenMode.CREATE);
        config.setUseCompoundFile(false);
        config.setRAMBufferSizeMB(512);
        config.setMergeScheduler(new SerialMergeScheduler());
        FieldType type = new FieldType();
        type.setIndexOptions(IndexOptions.DOCS_AND_FREQS_AND_POSITIONS);
        type.setTokenized(true);
        type.freeze();
        Field body = new Field(BODY, "", type);
        Document document = new Document();
        document.add(body);
        double cpu = cpuSeconds();
        long start = System.nanoTime(), n = 0;
        try (MMapDirectory directory = new MMapDirectory(folder); IndexWriter writer = new IndexWriter(directory, config);
             BufferedReader lines = Files.newBufferedReader(Path.of(tokens), StandardCharsets.US_ASCII)) {
            for (String line; (line = lines.readLine()) != null; n++) {
                body.setStringValue(line);
                writer.addDocument(document);
            }
            writer.forceMerge(1);
            writer.commit();
        }
        double wall = (System.nanoTime() - start) / 1e9;
        cpu = cpuSeconds() - cpu;
        long bytes = 0;
        for (Path file : Files.list(folder).toList()) {
            String name = file.getFileName().toString();
            boolean stored = name.matches(".*\\.(fdt|fdx|fdm|fnm|si|lock)") || name.startsWith("segments");
            if (!stored) bytes += Files.size(file);
        }
        System.out.printf("{\"engine\": \"Lucene %s\", \"documents\": %d, \"cpu_s\": %.3f, \"wall_s\": %.3f, \"bytes\": %d}%n",
            Version.LATEST, n, cpu, wall, bytes);
    }

    record Question(String kind, Query query) {}

    static List<Question> questions(String path) throws Exception {
        List<Question> out = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(path))) {
            String[] words = line.split(" ");
            if (words[0].equals("phrase")) {
                PhraseQuery.Builder phrase = new PhraseQuery.Builder();
                for (int i = 1; i < words.length; i++) phrase.add(new Term(BODY, words[i]));
                out.add(new Question(words[0], phrase.build()));
                continue;
            }
            BooleanClause.Occur occur = words[0].equals("union") ? BooleanClause.Occur.SHOULD : BooleanClause.Occur.MUST;
            BooleanQuery.Builder clauses = new BooleanQuery.Builder();
            for (int i = 1; i < words.length; i++) clauses.add(new TermQuery(new Term(BODY, words[i])), occur);
            out.add(new Question(words[0], clauses.build()));
        }
        return out;
    }

    /** The k best, without a count; k = 0: only how many match. */
    static TopDocs one(IndexSearcher searcher, Query query, int k, int[] count) throws Exception {
        if (k == 0) {
            count[0] = searcher.count(query);
            return null;
        }
        TopDocs top = searcher.search(query, new TopScoreDocCollectorManager(k, null, k));
        count[0] = top.scoreDocs.length;
        return top;
    }

    static void search(Path folder, String path, String modes, int runs) throws Exception {
        List<Question> questions = questions(path);
        PrintStream out = new PrintStream(System.out, false);
        try (MMapDirectory directory = new MMapDirectory(folder); DirectoryReader reader = DirectoryReader.open(directory)) {
            IndexSearcher searcher = new IndexSearcher(reader);
            searcher.setQueryCache(null);
            searcher.setSimilarity(new BM25Similarity(K1, B));
            int[] count = new int[1];
            warm(searcher, questions, modes.split(","));
            for (String mode : modes.split(",")) {
                int k = Integer.parseInt(mode);
                long[] best = new long[questions.size()];
                java.util.Arrays.fill(best, Long.MAX_VALUE);
                for (int run = 0; run < runs; run++) {
                    for (int i = 0; i < best.length; i++) {
                        long start = System.nanoTime();
                        one(searcher, questions.get(i).query, k, count);
                        best[i] = Math.min(best[i], System.nanoTime() - start);
                    }
                }
                for (int i = 0; i < best.length; i++) {
                    TopDocs top = one(searcher, questions.get(i).query, k, count);
                    out.printf("{\"i\": %d, \"class\": \"%s\", \"k\": %d, \"ns\": %d, \"n\": %d%s}%n", i, questions.get(i).kind, k,
                        best[i], count[0], k == 10 ? ", \"top\": " + ids(top) : "");
                }
            }
            printMemory(out);
        }
        out.flush();
    }

    /** While the index is mapped. */
    static void printMemory(PrintStream out) throws Exception {
        String status = Files.readString(Path.of("/proc/self/status"));
        java.util.regex.Matcher rss = java.util.regex.Pattern.compile("(VmRSS|RssFile|RssAnon):\\s*(\\d+)").matcher(status);
        StringBuilder memory = new StringBuilder();
        while (rss.find()) memory.append(String.format(", \"%s\": %d", rss.group(1), Long.parseLong(rss.group(2)) * 1024));
        out.printf("{\"engine\": \"Lucene %s\"%s}%n", Version.LATEST, memory);
    }

    /** Until the compiler has seen all of it: passes over the queries in every mode, for some seconds of processor time. */
    static void warm(IndexSearcher searcher, List<Question> questions, String[] modes) throws Exception {
        double end = cpuSeconds() + Integer.getInteger("warm", 30);
        for (int pass = 0; pass < 3 || cpuSeconds() < end; pass++) {
            for (String mode : modes) {
                for (Question q : questions) one(searcher, q.query, Integer.parseInt(mode), new int[1]);
            }
        }
    }

    static String ids(TopDocs top) {
        StringBuilder s = new StringBuilder("[");
        for (ScoreDoc d : top.scoreDocs) s.append(s.length() > 1 ? ", " : "").append(d.doc);
        return s.append("]").toString();
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("index")) index(arguments[1], Path.of(arguments[2]));
        else search(Path.of(arguments[1]), arguments[2], arguments[3], Integer.parseInt(arguments[4]));
    }
}
