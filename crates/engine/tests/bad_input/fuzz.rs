//! Damage at random: settings and files that no test thought of.

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};
use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::tokenizer::{AddSpecial, Tokenizer};
use weighbridge_engine::{family, load, run};

use crate::memory::{limit, peak};
use crate::model::{ROWS, model, written};
use crate::{PATIENCE, alone, config, copy, size_of, with_config};

/// Bytes that libraries take once for tables of their own, whatever the file.
const TABLES: usize = 4 << 20;

/// A value that may stand in config.json.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u32..64).prop_map(|shift| json!(1_u64 << shift)),
        (0_i64..100).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z_]{0,12}".prop_map(Value::from),
        prop::collection::vec(0_u64..10, 0..4).prop_map(Value::from),
        Just(json!([[["global", "local"], 1], [["local"], u64::MAX]])),
        Just(json!({"rope_type": "llama3", "factor": 1e-300, "low_freq_factor": 4.0, "rope_theta": 1e300})),
        Just(
            json!({"full_attention": {"rope_theta": 1e-300}, "sliding_attention": {"rope_type": "linear", "factor": 1e-300}})
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_settings(
        name in prop::sample::select(vec!["llama", "mistral", "qwen2", "qwen3", "gemma3_text", "gpt2", "gpt_neo", "gpt_neox"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
        kind in prop::sample::select(vec!["", "", "", "llama", "qwen3", "gemma3_text", "gpt2", "gpt_neo", "gpt_neox"]),
    ) {
        thread_local!(static ONCE: () = alone());
        ONCE.with(|()| {});
        let folder = copy(name);
        let mut config = config(name);
        let keys: Vec<String> = config.as_object().expect("an object").keys().cloned().collect();
        for (key, value) in changes {
            config[key.get(&keys)] = value;
        }
        if !kind.is_empty() {
            config["model_type"] = json!(kind);
        }
        with_config(folder.path(), &config);
        let size = size_of(folder.path());
        let start = Instant::now();
        let ((), held) = peak(|| {
            let Ok(checkpoint) = Checkpoint::open(folder.path()) else { return };
            let _ = family::architecture(&checkpoint);
            if let Ok(decoder) = load::decoder(Arc::new(checkpoint)) {
                let _ = run::last_logits(&decoder, &[1, 2, 3]);
            }
        });
        prop_assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        prop_assert!(held <= limit(size) + TABLES, "{held} bytes held for {size}");
    }

    #[test]
    fn damaged_gguf(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        splices in prop::collection::vec((0_usize..6000, 0_u32..64), 0..3),
        cut in prop::option::weighted(0.05, any::<prop::sample::Index>()),
    ) {
        thread_local!(static ONCE: () = alone());
        ONCE.with(|()| {});
        let mut bytes = model(ROWS, |file| file);
        for (at, byte) in flips {
            // Most of them in the header, which is what can lie.
            let at = at.index(2 * bytes.len());
            let at = if at >= bytes.len() { at % 9000 } else { at };
            bytes[at] ^= byte;
        }
        for (at, shift) in splices {
            bytes[at..at + 8].copy_from_slice(&(1_u64 << shift).to_le_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (_folder, path) = written(&bytes);
        let start = Instant::now();
        let ((), held) = peak(|| {
            let Ok(checkpoint) = Checkpoint::open(&path) else { return };
            let checkpoint = Arc::new(checkpoint);
            if let Ok(tokenizer) = Tokenizer::of(&checkpoint) {
                let _ = tokenizer.encode("ab a \u{e9}", AddSpecial::Default);
                let _ = tokenizer.check_fits(264);
            }
            if let Ok(decoder) = load::decoder(checkpoint) {
                let _ = run::last_logits(&decoder, &[1, 2, 3]);
            }
        });
        prop_assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        prop_assert!(held <= limit(bytes.len()) + TABLES, "{held} bytes held for {}", bytes.len());
    }
}
