//! Speed of one model in this process, or the limits of the machine under it, as one JSON object a run.
//!
//! `speed MODEL [--threads N] [--prefill TOKENS] [--decode TOKENS [--streams N]] [--score FILE.jsonl] [--repeats N]
//! [--bf16]` measures what is asked for; `speed --limit [--threads N] [--repeats N]` arithmetic and reading. Every
//! repeat's figure is in the report. `benches/run.py engine` runs it in turn with other tools.

#![expect(unsafe_code, reason = "the peak of a vector unit is only seen through its own instructions")]
#![expect(clippy::expect_used, reason = "a bench stops where its input cannot be read")]
#![expect(clippy::panic, reason = "a bench stops where its input cannot be read")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../../../benches/cpu_clock.rs"]
mod cpu_clock;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use cpu_clock::cpu_seconds;
use serde_json::{Map, Value, json};
use weighbridge_core::LoglikelihoodRequest;
use weighbridge_engine::model::summary;
use weighbridge_engine::score::{Detail, work};
use weighbridge_engine::{Model, Options, Precision, run};

struct Asked {
    model: Option<PathBuf>,
    limit: bool,
    precision: Precision,
    threads: usize,
    prefill: Option<usize>,
    decode: Option<usize>,
    streams: usize,
    score: Option<PathBuf>,
    repeats: usize,
}

fn main() {
    let asked = asked();
    let report = match &asked.model {
        _ if asked.limit => limits(asked.threads, asked.repeats),
        Some(path) => measure(path, &asked),
        None => panic!("expected the path of a model, or --limit"),
    };
    println!("{report}");
}

fn asked() -> Asked {
    let (limit, threads, streams, repeats) = (false, 1, 1, 3);
    let mut asked = Asked {
        model: None,
        limit,
        precision: Precision::F32,
        threads,
        prefill: None,
        decode: None,
        streams,
        score: None,
        repeats,
    };
    // Cargo adds --bench.
    let mut rest = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = rest.next() {
        let mut number = || {
            let given = rest.next().and_then(|value| value.parse().ok());
            given.filter(|&n: &usize| n > 0).unwrap_or_else(|| panic!("{argument} needs a number from 1 on"))
        };
        match argument.as_str() {
            "--limit" => asked.limit = true,
            "--bf16" => asked.precision = Precision::Bf16,
            "--threads" => asked.threads = number(),
            "--prefill" => asked.prefill = Some(number()),
            "--decode" => asked.decode = Some(number()),
            "--streams" => asked.streams = number(),
            "--repeats" => asked.repeats = number(),
            "--score" => asked.score = Some(rest.next().expect("--score needs a file").into()),
            _ if argument.starts_with('-') => panic!("no option {argument}"),
            _ => asked.model = Some(argument.into()),
        }
    }
    asked
}

fn measure(path: &Path, asked: &Asked) -> Value {
    let (start, before) = (Instant::now(), cpu_seconds());
    let options = Options { threads: Some(asked.threads), precision: asked.precision, ..Options::default() };
    let model = Model::open(path, "bench", options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut report = Map::new();
    let mut add = |name: &str, value: Value| report.insert(name.to_owned(), value);
    add("model", json!(path.file_name().map(|name| name.to_string_lossy())));
    add("threads", json!(asked.threads));
    // Without the instructions for it, what was asked for is computed in f32.
    add("bf16", json!(asked.precision == Precision::Bf16 && asked.precision.is_available()));
    add("load_s", json!(start.elapsed().as_secs_f64()));
    add("load_cpu_s", json!(before.zip(cpu_seconds()).map(|(from, to)| to - from)));
    add("weight_bytes", json!(model.decoder().weight_bytes()));
    let vocabulary = model.decoder().architecture().vocabulary as u32;
    let repeats = asked.repeats;
    if let Some(tokens) = asked.prefill {
        // Distinct where the vocabulary is large enough, as 37 shares no factor with the modulus.
        let ids: Vec<u32> = (0..tokens as u32).map(|i| (1000 + i * 37 % 20_000) % vocabulary).collect();
        let prefill =
            || model.install(|| black_box(run::last_logits(model.decoder(), &ids)).map(|_| ())).expect("logits");
        prefill();
        add("prefill", json!({ "tokens": tokens, "runs": timed(repeats, prefill) }));
    }
    if let Some(tokens) = asked.decode {
        // The first of the tokens comes from the one that each stream begins with.
        let steps = || run::decode_steps(model.decoder(), &[1000 % vocabulary], asked.streams, tokens - 1);
        let decode = || model.install(steps).expect("tokens");
        decode();
        add("decode", json!({ "tokens": tokens, "streams": asked.streams, "runs": timed(repeats, decode) }));
    }
    if let Some(file) = &asked.score {
        add("score", score(&model, file, repeats));
    }
    add("peak_rss_bytes", json!(status_bytes("VmHWM:")));
    // Without pages of files, which the system may drop.
    add("anonymous_rss_bytes", json!(status_bytes("RssAnon:")));
    Value::Object(report)
}

/// The wall and CPU seconds of each run.
fn timed(repeats: usize, mut work: impl FnMut()) -> Value {
    let one = |_| {
        let (before, start) = (cpu_seconds(), Instant::now());
        work();
        let wall = start.elapsed().as_secs_f64();
        json!({ "wall_s": wall, "cpu_s": before.zip(cpu_seconds()).map(|(from, to)| to - from) })
    };
    (0..repeats).map(one).collect()
}

/// Log-likelihoods of the requests of a file, from their texts on.
fn score(model: &Model, file: &Path, repeats: usize) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let field =
        |line: &Value, key: &str| line[key].as_str().unwrap_or_else(|| panic!("a line has no {key}")).to_owned();
    let request = |line: &Value| LoglikelihoodRequest {
        context: field(line, "context"),
        continuation: field(line, "continuation"),
    };
    let requests: Vec<LoglikelihoodRequest> = lines.iter().map(request).collect();
    // A line without a document is of the same one as the line before it where they have one context.
    let document = |line: &Value| line.get("doc").unwrap_or(&line["context"]).clone();
    let documents = lines.windows(2).filter(|pair| document(&pair[0]) != document(&pair[1])).count() + 1;

    let tokens = || model.install(|| model.tokens_of(&requests)).expect("tokens");
    let found = tokens();
    let all = work(&found, model.decoder().architecture().context);
    let scored = |found: &[_]| model.score(found, Detail::LogProbs, &|_| {}).expect("scores");
    // As the peer does: two requests beforehand.
    scored(&found[..found.len().min(2)]);
    let encoding = timed(repeats, || drop(black_box(tokens())));
    let mut sum = 0.0;
    let runs = timed(repeats, || sum = scored(&tokens()).iter().map(|scores| summary(scores).logprob).sum());
    json!({
        "docs": documents, "requests": requests.len(), "tokens": all.tokens, "nodes": all.nodes,
        "runs": runs, "of_it_encoding": encoding, "sum_logprob": sum,
    })
}

/// A size of this process, where the system says.
fn status_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// What the processor computes and reads at most, on all threads together.
fn limits(threads: usize, repeats: usize) -> Value {
    let large: Vec<u64> = (0..1 << 27).collect();
    let mut report = Map::new();
    for (name, unit) in units() {
        let count = 40_000_000;
        unit(count / 10);
        let rates = together(threads, repeats, || unit(count) * 1e-9);
        report.insert(format!("{name}_gflop_s"), json!(rates));
    }
    // More than a cache holds, and about what weights of 4 bits take of the model that run.py measures.
    for (name, numbers, passes) in [("read_1_gib", 1 << 27, 1), ("read_92_mib", 92 << 17, 12)] {
        let numbers = &large[..numbers];
        let read = || {
            let sum = (0..passes).fold(0, |sum: u64, _| sum.wrapping_add(sum_of(black_box(numbers))));
            black_box(sum);
            (numbers.len() * 8 * passes) as f64 * 1e-9
        };
        report.insert(format!("{name}_gb_s"), json!(together(threads, repeats, read)));
    }
    report.insert("threads".to_owned(), json!(threads));
    Value::Object(report)
}

/// Amount of work a CPU-second of several threads that begin together, added up, once a repeat. Other work on the same
/// cores takes time from a thread, but not from this figure.
fn together(threads: usize, repeats: usize, work: impl Fn() -> f64 + Sync) -> Vec<f64> {
    let barrier = Barrier::new(threads);
    let one = |_| {
        std::thread::scope(|scope| {
            let thread = || {
                barrier.wait();
                let (before, start) = (thread_seconds(), Instant::now());
                let done = work();
                let wall = start.elapsed().as_secs_f64();
                done / before.zip(thread_seconds()).map_or(wall, |(from, to)| to - from)
            };
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
            all.into_iter().map(|thread| thread.join().expect("a thread ends")).sum()
        })
    };
    (0..repeats).map(one).collect()
}

/// CPU seconds of this thread, where the system says.
fn thread_seconds() -> Option<f64> {
    // The count is up to date when the thread has left its core.
    std::thread::sleep(Duration::from_micros(50));
    let counters = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    counters.split_whitespace().next()?.parse::<u64>().ok().map(|nanoseconds| nanoseconds as f64 * 1e-9)
}

/// Operations of so many rounds of independent multiply-adds.
type Unit = fn(usize) -> f64;

#[cfg(not(target_arch = "x86_64"))]
fn units() -> Vec<(&'static str, Unit)> {
    Vec::new()
}

#[cfg(not(target_arch = "x86_64"))]
fn sum_of(numbers: &[u64]) -> u64 {
    plain_sum(numbers)
}

fn plain_sum(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |sum, &number| sum.wrapping_add(number))
}

#[cfg(target_arch = "x86_64")]
use x86::{sum_of, units};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512bh, _MM_HINT_T0, _mm_prefetch, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_add_epi64, _mm512_dpbf16_ps,
        _mm512_fmadd_ps, _mm512_loadu_epi64, _mm512_reduce_add_epi64, _mm512_set1_epi16, _mm512_set1_epi64,
        _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::Unit;

    /// Sums that do not wait for each other: two units with a latency of four to six cycles need twelve; AVX2 has no
    /// registers for more, AVX-512 has.
    const NARROW: usize = 12;
    const WIDE: usize = 24;

    /// What this processor has.
    pub fn units() -> Vec<(&'static str, Unit)> {
        let mut units: Vec<(&'static str, Unit)> = Vec::new();
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: detected.
            units.push(("f32_avx2", |rounds| unsafe { avx2(rounds) }));
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: detected.
            units.push(("f32_avx512", |rounds| unsafe { avx512(rounds) }));
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
            // SAFETY: detected.
            units.push(("bf16_avx512", |rounds| unsafe { bf16(rounds) }));
        }
        units
    }

    /// A sum over all, to have read them.
    pub fn sum_of(numbers: &[u64]) -> u64 {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: detected.
            return unsafe { sum_avx512(numbers) };
        }
        super::plain_sum(numbers)
    }

    #[target_feature(enable = "avx512f")]
    fn sum_avx512(numbers: &[u64]) -> u64 {
        const SUMS: usize = 8;
        // What the processor fetches by itself ends at each page of 4 KiB.
        const AHEAD: usize = 4096;
        let mut sums = [_mm512_set1_epi64(0); SUMS];
        for chunk in numbers.chunks_exact(SUMS * 8) {
            for (i, sum) in sums.iter_mut().enumerate() {
                _mm_prefetch::<_MM_HINT_T0>(chunk.as_ptr().wrapping_add(i * 8).cast::<i8>().wrapping_add(AHEAD));
                // SAFETY: the chunk has eight numbers for each of the sums.
                *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_epi64(chunk.as_ptr().add(i * 8).cast()) });
            }
        }
        sums.into_iter().fold(0, |all, sum| all ^ _mm512_reduce_add_epi64(sum) as u64)
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2(rounds: usize) -> f64 {
        let (factor, term) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
        let mut sums = [_mm256_set1_ps(black_box(1.0)); NARROW];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, term);
            }
        }
        black_box(sums);
        (rounds * NARROW * 8 * 2) as f64
    }

    #[target_feature(enable = "avx512f")]
    fn avx512(rounds: usize) -> f64 {
        let (factor, term) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
        let mut sums = [_mm512_set1_ps(black_box(1.0)); WIDE];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        black_box(sums);
        (rounds * WIDE * 16 * 2) as f64
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bf16(rounds: usize) -> f64 {
        // SAFETY: both are 512 bits, and every pattern of bits is a vector of either; 0x3f80 is 1.
        let ones: __m512bh = unsafe { std::mem::transmute(_mm512_set1_epi16(black_box(0x3f80))) };
        let mut sums = [_mm512_set1_ps(black_box(1.0)); WIDE];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, ones, ones);
            }
        }
        black_box(sums);
        (rounds * WIDE * 32 * 2) as f64
    }
}
