//! `weighbridge inspect`: what is shown of a checkpoint, in each form, and what is said of files that are none.

use weighbridge_reference::path;

use crate::home::Home;

/// Counts by hand: 512 * 64 in the embedding; five layers of 2 * 64 * 64 + 2 * 32 * 64 in attention and 3 * 172 * 64 in the
/// MLP; eleven norms of 64.
const STORIES: &str = "
model
format            safetensors
architecture      llama         loads here, as llama
layers            5
hidden size       64
heads             8
key-value heads   4
head size         8
MLP size          172
vocabulary        512
context           512 tokens
rotary positions  base 10000
license           not declared

parameters
embedding     32,768  12.6 %
attention     61,440  23.6 %
MLP          165,120  63.5 %
norms            704  0.3 %
output head        0  the token embedding again
total        260,032

stored as
F32        260,032  47 tensors, 1.0 MB, 32 bits a weight

memory
weights    1.0 MB  as stored
weights    1.0 MB  as F32
cache    655.4 kB  keys and values in F32, 1 text of 512 tokens

tokenizer
kind           none found
BOS            1           whether BOS is put before a text is not said
EOS            2
chat template  none

files
model.safetensors  1.0 MB
  header, BLAKE3   26549fa8632cecc37446509a89ecb5dd373adc4be5d72cbcb28b3c43006abb5b

metadata
";

#[test]
fn a_model_is_described_in_every_form() {
    let Some(model) = path("data/models/stories260k-f32") else { return };
    let model = model.to_str().expect("a path that is text");
    let home = Home::fresh().variable("COLUMNS", "100");
    let text = home.answer(&["inspect", model]);
    let (title, rest) = text.split_once('\n').expect("lines");
    assert_eq!(title, model);
    let shown: String = rest.split_inclusive('\n').take(STORIES.lines().count()).collect();
    assert_eq!(shown, STORIES);
    assert!(rest.contains("safetensors.format       pt\n"), "{rest}");

    let found = home.json(&["inspect", model, "--context", "100", "--batch", "3", "--hash"]);
    assert_eq!(found["parameters_total"], 260_032);
    assert_eq!(found["memory"]["cache"], 2 * 5 * 4 * 8 * 4 * 100 * 3);
    assert_eq!(found["files"][0]["content_blake3"].as_str().map(str::len), Some(64));
    assert_eq!(found["metadata"]["rope_parameters"]["rope_theta"], 10_000.0);

    let csv = home.answer(&["inspect", model, "--format", "csv"]);
    let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(csv.as_bytes()).records().flatten().collect();
    assert!(rows.iter().any(|row| row == vec!["parameters", "MLP", "165,120", "63.5 %"]), "{csv}");
    let markdown = home.answer(&["inspect", model, "--format", "markdown"]);
    assert!(markdown.contains("| total | 260,032 |"), "{markdown}");

    let long = home.answer(&["inspect", model, "--context", "513"]);
    assert!(long.ends_with("1         513 tokens are more than the 512 that the model was made for\n"), "{long}");
    for columns in ["40", "60", "80"] {
        let text = Home::fresh().variable("COLUMNS", columns).answer(&["inspect", model]);
        let room: usize = columns.parse().expect("a number");
        let wide = |line: &&str| line.chars().count() > room && line.split_whitespace().count() > 1;
        assert_eq!(text.lines().skip(1).find(wide), None, "wider than {columns}");
    }
}

/// A GGUF file with these texts as metadata and no tensors.
fn gguf(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut file = [&b"GGUF\x03\0\0\0"[..], &[0; 8], &(pairs.len() as u64).to_le_bytes()].concat();
    for (key, value) in pairs {
        file.extend([text(key), 8_u32.to_le_bytes().to_vec(), text(value)].concat());
    }
    file
}

#[test]
fn the_template_is_printed_as_it_stands_and_nothing_else_steers_the_terminal() {
    let home = Home::fresh();
    let template = "{{ messages }}\u{1b}[2J\n";
    let file = gguf(&[("general.name", "a\u{1b}[2Jb"), ("tokenizer.chat_template", template)]);
    std::fs::write(home.path("m.gguf"), file).expect("a file");
    let path = home.path("m.gguf");
    let path = path.to_str().expect("a path that is text");
    assert_eq!(home.answer(&["inspect", path, "--template"]), template, "into a pipe every byte goes");
    for format in ["text", "csv", "markdown", "json"] {
        let text = home.answer(&["inspect", path, "--format", format]);
        assert!(!text.contains('\u{1b}'), "{format}: {text}");
    }
}

#[test]
fn what_is_no_checkpoint_is_refused_with_advice() {
    let home = Home::fresh();
    let write = |name: &str, bytes: &[u8]| std::fs::write(home.path(name), bytes).expect("a file");
    write("m.pt", b"\x80\x02}q\x00.");
    write("cut.gguf", b"GGUF\x03\0\0\0");
    write("none.gguf", &gguf(&[]));
    write("notes.txt", b"hello, world");
    let refused = |name: &str, more: &[&str]| {
        let path = home.path(name);
        let run = home.run(&[&["inspect", path.to_str().expect("a path that is text")], more].concat());
        assert_eq!((run.code, run.out.as_str()), (Some(3), ""), "{name}: {}", run.err);
        run.err
    };
    for (name, more, words) in [
        ("m.pt", &[][..], "is a pickle, which can run code when loaded; ask for safetensors or GGUF"),
        ("cut.gguf", &[], "is no GGUF file that can be read: the file ends inside"),
        ("notes.txt", &[], "neither GGUF nor safetensors"),
        ("absent", &[], "cannot read"),
        ("", &[], "several weight files: cut.gguf, none.gguf; give one of them"),
        ("none.gguf", &["--template"], "has no chat template"),
    ] {
        let message = refused(name, more);
        assert!(message.contains(words), "{name}: {message}");
    }
    home.refusals(&[
        ("inspect", 2, &["<PATH>"]),
        ("inspect x --context 0", 2, &["--context"]),
        ("inspect x --batch many", 2, &["'many'"]),
    ]);
}
