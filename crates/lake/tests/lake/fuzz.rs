//! Arbitrary and mutated inputs: an importer never panics, and a failed import leaves the lake as it was.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{files, input, new_lake};

const SAMPLES: &str = "benchmark,item_id,model,open_or_closed,score,group,run_id,epoch,label,output_tokens,seconds,grader,date,dataset_size\n\
b,s1,m,open,1,\"g,1\",r,1,C,12,0.5,j,2026-01-02,10\nb,s2,m,closed,,g,r,2,no_answer,,,,,\nb,s3,m,,0.25,,,,,,,,,\n";
const VOTES: &str = "model_a,model_b,wins_a,wins_b,ties\na,b,1,2,3\nb,c,0,0,7\n";
const JSON: &str = "{\"models\": [\"a\", \"b\", \"c\"], \"X\": [[0, 1], [1, 2]], \"Y\": [[1, 2, 3, 4], [5, 6, 7, 8]]}";

/// Time that each of the fuzz tests may take.
const BOUND: Duration = Duration::from_secs(8);

/// Imports `inputs` until there are 400 of them or the time is over.
fn fuzz(inputs: &BoxedStrategy<Vec<u8>>) {
    let start = Instant::now();
    let (folder, mut lake) = new_lake();
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let case = |bytes: Vec<u8>| {
        if start.elapsed() > BOUND {
            return Ok(());
        }
        let before = files(lake.location().root());
        let imports = lake.imports().len();
        let file = input(&folder, "fuzz", &bytes);
        match lake.import(&file) {
            Ok(report) if report.already_imported => prop_assert_eq!(files(lake.location().root()), before),
            Ok(report) => {
                prop_assert!(lake.imports().len() == imports + 1);
                let rows: u64 = report.record.tables.keys().map(|table| report.record.rows(*table)).sum();
                prop_assert!(rows > 0);
            }
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                prop_assert_eq!(files(lake.location().root()), before);
            }
        }
        Ok(())
    };
    // The runner wants a closure that it may call again without a change of state; the lake is that state.
    let case = std::cell::RefCell::new(case);
    runner.run(inputs, |bytes| (case.borrow_mut())(bytes)).unwrap();
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let text = "[a-z,\"\n{}:0-9.]{0,200}".prop_map(String::into_bytes);
    let gzip = prop::collection::vec(any::<u8>(), 0..100).prop_map(|tail| [vec![0x1f, 0x8b, 8], tail].concat());
    fuzz(&prop_oneof![bytes, text, gzip].boxed());
}

#[test]
fn mutated_inputs_do_no_harm() {
    let valid = prop_oneof![Just(SAMPLES), Just(VOTES), Just(JSON)].prop_map(|text| text.as_bytes().to_vec());
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4);
    let mutated = (valid, edits).prop_map(|(mut bytes, edits)| {
        for (at, kind, byte) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match kind {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at, b",\"\n-9."[usize::from(byte) % 6]),
                _ => bytes.truncate(at),
            }
        }
        bytes
    });
    fuzz(&mutated.boxed());
}
