//! Tantivy for bench_sparse.
//!
//!     tantivy_bench index TOKENS FOLDER                 one JSON object: documents, cpu_s, wall_s, bytes
//!     tantivy_bench search FOLDER QUERIES MODES RUNS    a JSON object per query and mode, then one of the process

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::Instant;

use tantivy::collector::{Count, TopDocs};
use tantivy::indexer::NoMergePolicy;
use tantivy::query::{BooleanQuery, Occur, PhraseQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::WhitespaceTokenizer;
use tantivy::{Index, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, Term};

const HEAP: usize = 512 << 20;
const ENGINE: &str = "Tantivy 0.27.0";

fn cpu_seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn register(index: &Index) {
    index.tokenizers().register("spaces", WhitespaceTokenizer::default());
}

fn index(tokens: &str, folder: &str) -> tantivy::Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    let mut schema = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("spaces")
        .set_fieldnorms(true)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let body = schema.add_text_field("body", TextOptions::default().set_indexing_options(indexing));
    let index = Index::create_in_dir(folder, schema.build())?;
    register(&index);
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let mut writer: IndexWriter = index.writer_with_num_threads(1, HEAP)?;
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let mut n = 0u64;
    for line in BufReader::with_capacity(1 << 20, fs::File::open(tokens)?).lines() {
        let mut document = TantivyDocument::default();
        document.add_text(body, &line?);
        writer.add_document(document)?;
        n += 1;
    }
    writer.commit()?;
    let segments = index.searchable_segment_ids()?;
    if segments.len() > 1 {
        writer.merge(&segments).wait()?;
    }
    writer.garbage_collect_files().wait()?;
    writer.wait_merging_threads()?;
    let (cpu, wall) = (cpu_seconds() - cpu, start.elapsed().as_secs_f64());
    println!(
        "{{\"engine\": \"{ENGINE}\", \"documents\": {n}, \"cpu_s\": {cpu:.3}, \"wall_s\": {wall:.3}, \"bytes\": {}, \
         \"segments\": {}, \"before_merging\": {}}}",
        index_bytes(folder)?,
        index.searchable_segment_ids()?.len(),
        segments.len()
    );
    Ok(())
}

/// The inverted index: what the document store and the bookkeeping take is left out.
fn index_bytes(folder: &str) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let end = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_string();
        if ["idx", "pos", "term", "fieldnorm"].contains(&end.as_str()) {
            bytes += fs::metadata(&path)?.len();
        }
    }
    Ok(bytes)
}

fn question(line: &str, body: Field) -> (String, Box<dyn Query>) {
    let mut words = line.split(' ');
    let class = words.next().unwrap_or("").to_string();
    let terms: Vec<Term> = words.map(|w| Term::from_field_text(body, w)).collect();
    if class == "phrase" {
        return (class, Box::new(PhraseQuery::new(terms)));
    }
    let occur = if class == "union" { Occur::Should } else { Occur::Must };
    let clauses = terms
        .into_iter()
        .map(|t| (occur, Box::new(TermQuery::new(t, IndexRecordOption::WithFreqs)) as Box<dyn Query>))
        .collect();
    (class, Box::new(BooleanQuery::new(clauses)))
}

/// The k best, without a count; k = 0: only how many match.
fn one(searcher: &Searcher, query: &dyn Query, k: usize) -> tantivy::Result<(usize, Vec<u32>)> {
    if k == 0 {
        return Ok((searcher.search(query, &Count)?, Vec::new()));
    }
    let top = searcher.search(query, &TopDocs::with_limit(k).order_by_score())?;
    Ok((top.len(), if k == 10 { top.iter().map(|(_, d)| d.doc_id).collect() } else { Vec::new() }))
}

fn search(folder: &str, path: &str, modes: &str, runs: usize) -> tantivy::Result<()> {
    let index = Index::open_in_dir(folder)?;
    register(&index);
    let body = index.schema().get_field("body")?;
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
    let searcher: Searcher = reader.searcher();
    let text = fs::read_to_string(path)?;
    let questions: Vec<_> = text.lines().map(|l| question(l, body)).collect();
    let mut out = std::io::BufWriter::new(std::io::stdout());
    for mode in modes.split(',') {
        let k: usize = mode.parse().expect("a mode is a number");
        let mut best = vec![u128::MAX; questions.len()];
        for run in 0..=runs {
            for (i, (_, query)) in questions.iter().enumerate() {
                let start = Instant::now();
                std::hint::black_box(one(&searcher, query.as_ref(), k)?);
                if run > 0 {
                    best[i] = best[i].min(start.elapsed().as_nanos());
                }
            }
        }
        for (i, (class, query)) in questions.iter().enumerate() {
            let (n, top) = one(&searcher, query.as_ref(), k)?;
            let top = if k == 10 { format!(", \"top\": {top:?}") } else { String::new() };
            writeln!(out, "{{\"i\": {i}, \"class\": \"{class}\", \"k\": {k}, \"ns\": {}, \"n\": {n}{top}}}", best[i])?;
        }
    }
    writeln!(out, "{{\"engine\": \"{ENGINE}\"{}}}", memory()?)?;
    Ok(())
}

fn memory() -> std::io::Result<String> {
    let mut found = String::new();
    for line in fs::read_to_string("/proc/self/status")?.lines() {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or("").trim_end_matches(':');
        if ["VmRSS", "RssFile", "RssAnon"].contains(&name) {
            let kib: u64 = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
            found += &format!(", \"{name}\": {}", kib * 1024);
        }
    }
    Ok(found)
}

fn main() -> tantivy::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    let a: Vec<&str> = a.iter().map(|s| s.as_str()).collect();
    match a[1..] {
        ["index", tokens, folder] if Path::new(tokens).exists() => index(tokens, folder),
        ["search", folder, queries, modes, runs] => search(folder, queries, modes, runs.parse().expect("RUNS is a number")),
        _ => {
            eprintln!("usage: tantivy_bench index TOKENS FOLDER | search FOLDER QUERIES MODES RUNS");
            std::process::exit(1);
        }
    }
}
