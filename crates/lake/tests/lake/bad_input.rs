//! Inputs that cannot be imported: what the message says, and that the lake stays as it was.

use crate::{files, input, new_lake, number};

const HEADER: &str = "benchmark,item_id,model,open_or_closed,score,group";

fn check(name: &str, content: impl AsRef<[u8]>, expect: &[&str]) {
    let (folder, mut lake) = new_lake();
    let before = files(lake.location().root());
    let file = input(&folder, name, content);
    let message = lake.import(&file).unwrap_err().to_string();
    for piece in expect.iter().chain([&name]) {
        assert!(message.contains(piece), "'{piece}' is not in: {message}");
    }
    assert_eq!(files(lake.location().root()), before, "{message}");
    assert!(lake.imports().is_empty());
}

#[test]
fn a_bad_score_names_its_line_and_column() {
    let range = "expected a score from 0 to 1, or blank where the sample has none";
    for bad in ["1.5", "-0.1", "NaN", "inf", "1e999", "yes", "0,5", "50%"] {
        let rows = format!("{HEADER}\nb,s1,m,open,1,g\nb,s2,m,open,\"{bad}\",g\n");
        check(
            "x.csv",
            rows,
            &["1 of 2 rows", &format!("line 3, column score: '{bad}'"), range, "import the file again"],
        );
    }
}

#[test]
fn many_bad_rows_are_listed_and_counted() {
    let mut text = format!("{HEADER}\n");
    for i in 0..30 {
        text.push_str(&format!("b,s{i},m,open,{},g\n", if i % 2 == 0 { "2" } else { "1" }));
    }
    check("x.csv", text, &["15 of 30 rows", "line 2, column score: '2'", "line 20, ", "the first 10 are listed"]);
}

#[test]
fn every_kind_of_bad_value_is_told() {
    let header = format!("{HEADER},epoch,date,dataset_size,output_tokens,cost_usd");
    for (row, expect) in [
        (",s,m,open,1,g,1,,,,", "line 2, column benchmark: '', expected text"),
        ("b, ,m,open,1,g,1,,,,", "line 2, column item_id: ' ', expected text"),
        ("b,s,,open,1,g,1,,,,", "line 2, column model: ''"),
        ("b,s,m,open,1,g,0,,,,", "column epoch: '0', expected a whole number from 1"),
        ("b,s,m,open,1,g,1.5,,,,", "column epoch: '1.5'"),
        ("b,s,m,open,1,g,1,11.8.2026,,,", "column date: '11.8.2026', expected a date YYYY-MM-DD"),
        ("b,s,m,open,1,g,1,,-5,,", "column dataset_size: '-5'"),
        ("b,s,m,open,1", "column group: '', expected 11 fields as in line 1, found 5"),
        ("b,s,m,open,1,g,1,,,,,,", "expected 11 fields as in line 1, found 13"),
        ("b,\"s,m,open,1,g,1,,,,", "found 2 (look for a comma or an open quote)"),
    ] {
        check("x.csv", format!("{header}\n{row}\n"), &[expect, "1 of 1 rows"]);
    }
}

#[test]
fn wrong_columns_are_told() {
    check(
        "x.csv",
        "benchmark,item_id,model,score\nb,s,m,1\n",
        &["columns are missing: open_or_closed, group", "found benchmark, item_id, model, score"],
    );
    check("x.csv", format!("{HEADER},score\nb,s,m,open,1,g,1\n"), &["line 1: column 'score' stands twice"]);
    check("x.csv", HEADER.replace(',', ";"), &["must be separated by commas"]);
    check("v.csv", "model_a,model_b,wins_a,wins_b\na,b,1,2\n", &["a column is missing: ties"]);
}

#[test]
fn wrong_encodings_are_told() {
    check(
        "x.csv",
        [HEADER.as_bytes(), b"\nb,caf\xe9,m,open,1,g\n"].concat(),
        &["line 2, column item_id", "save the file as UTF-8"],
    );
    let wide: Vec<u8> = format!("{HEADER}\nb,s,m,open,1,g\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    check("x.csv", [b"\xff\xfe".as_slice(), &wide].concat(), &["UTF-16", "save the file as UTF-8"]);
}

#[test]
fn what_is_no_known_format_lists_those_that_are() {
    for content in ["hello\n", "a,b\n1,2\n", "{\"votes\": []}", "PK\u{3}\u{4}", "\n\n\n"] {
        check(
            "x.dat",
            content,
            &["not recognised", "samples-csv", "votes-csv", "votes-json", "epoch-index", "item_id"],
        );
    }
    check("x.csv", "", &["the file is empty"]);
    check("x.csv", format!("{HEADER}\n"), &["it has a header but no rows"]);
}

#[test]
fn damaged_compression_is_told() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut text = format!("{HEADER}\n");
    for i in 0..5000 {
        text.push_str(&format!("b,s{i},m{},open,{},g\n", i * 7919 % 101, i % 2));
    }
    std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    check("x.csv.gz", &bytes[..bytes.len() / 2], &["the compressed data end early"]);
    let mut flipped = bytes.clone();
    let end = flipped.len() - 6;
    flipped[end] ^= 0xff;
    check("x.csv.gz", flipped, &["compressed data are damaged"]);
}

#[test]
fn bad_votes_are_told() {
    check(
        "v.json",
        "{\"models\": [\"a\"], \"X\": [[0, 1]], \"Y\": [[1, 2, 3, 4]]}",
        &["X[0] is [0, 1]", "positions 0 to 0"],
    );
    check("v.json", "{\"models\": [\"a\", \"b\"], \"X\": [[0, 1]], \"Y\": []}", &["1 pairs and Y 0 rows"]);
    check("v.json", "{\"models\": [\"a\", \"b\"], \"X\": [[0, 1]], \"Y\": [[1, -2, 3, 4]]}", &["line 1 column"]);
    check("v.json", "{\"models\": [\"a\", \"b\"], \"X\": [[0,", &["EOF", "expected models"]);
    check("v.json", "{\"models\": [\"a\", \"a\"], \"X\": [[0, 1]], \"Y\": [[1, 2, 3, 4]]}", &["pairs 'a' with itself"]);
    check(
        "v.csv",
        "model_a,model_b,wins_a,wins_b,ties\na,a,1,2,3\n",
        &["line 2, column model_b: 'a', expected another model"],
    );
    check(
        "v.csv",
        "model_a,model_b,wins_a,wins_b,ties\na,b,,2,3\n",
        &["column wins_a: '', expected a whole number of votes"],
    );
}

#[test]
fn half_an_index_folder_is_told() {
    let (folder, mut lake) = new_lake();
    let index = folder.path().join("index");
    std::fs::create_dir(&index).unwrap();
    let message = lake.import(&index).unwrap_err().to_string();
    assert!(message.contains("not recognised") && message.contains("epoch-index"), "{message}");
    std::fs::write(index.join("eci_benchmarks.csv"), "model,benchmark,performance\nm,b,0.5\nm,c,1.5\n").unwrap();
    let message = lake.import(&index).unwrap_err().to_string();
    assert!(message.contains("lacks eci_scores.csv"), "{message}");
    std::fs::write(
        index.join("eci_scores.csv"),
        "Model,Model accessibility,Accessibility group,date\nm,API access,Closed weights,2025-01-01\n",
    )
    .unwrap();
    let message = lake.import(&index).unwrap_err().to_string();
    assert!(message.contains("eci_benchmarks.csv: 1 of 2 rows") && message.contains("'1.5'"), "{message}");
    let one = input(&folder, "one.csv", "model_id,benchmark_id,performance\nm,b,0.5\n");
    let message = lake.import(&one).unwrap_err().to_string();
    assert!(message.contains("give the folder"), "{message}");
    assert!(lake.imports().is_empty());
}

#[test]
fn a_blank_score_is_missing_and_a_label_may_say_more() {
    let (folder, mut lake) = new_lake();
    let rows =
        ["s1,,", "s2,,refused", "s3,,no_answer", "s4,,truncated", "s5,,odd", "s6,0,no_answer", "s7,1,", "s8,,scored"];
    let mut text = "\u{feff}benchmark,item_id,model,open_or_closed,group,score,label,judge_cost_usd\n".to_owned();
    for row in rows {
        let (sample, rest) = row.split_once(',').unwrap();
        text.push_str(&format!("b,{sample},m,,,{rest},0.1\n"));
    }
    let report = lake.import(&input(&folder, "x.csv", text)).unwrap();
    let states = &lake.sample_sets()[0].states;
    assert_eq!((states.scored, states.missing, states.refused), (2, 3, 1));
    assert_eq!((states.wrong_format, states.truncated), (1, 1));
    assert_eq!(report.record.columns_left_out, ["judge_cost_usd"]);
    assert_eq!(report.record.notes.len(), 2);
    assert_eq!(report.record.notes[0], "label: not kept where there is a score (no_answer 1)");
    let models = lake.models("x").unwrap();
    assert_eq!((models.len(), models[0].access.as_deref()), (1, None));
}

#[test]
fn a_measurement_that_cannot_be_is_unknown_and_told() {
    let (folder, mut lake) = new_lake();
    let text = format!(
        "{HEADER},output_tokens,cost_usd\nb,s1,m,open,1,g,-39,0.5\nb,s2,m,open,1,g,7,inf\nb,s3,m,open,0,g,x,\n"
    );
    let report = lake.import(&input(&folder, "x.csv", text)).unwrap();
    assert_eq!(
        report.record.notes,
        [
            "output_tokens: impossible values were taken as unknown, 2 in all, the first '-39' on line 2",
            "cost_usd: impossible values were taken as unknown, 1 in all, the first 'inf' on line 3",
        ]
    );
    assert_eq!(number(&lake, "SELECT count(output_tokens) FROM samples").to_bits(), 1.0_f64.to_bits());
}

#[test]
fn two_imports_of_one_name_are_told_apart() {
    let (folder, mut lake) = new_lake();
    let first = lake.import(&input(&folder, "v.csv", "model_a,model_b,wins_a,wins_b,ties\na,b,1,2,3\n")).unwrap();
    lake.import(&input(&folder, "v.csv", "model_a,model_b,wins_a,wins_b,ties\na,b,4,5,6\n")).unwrap();
    let message = lake.votes("v").unwrap_err().to_string();
    let name = format!("v@{}", &first.record.id[..8]);
    assert!(message.contains("imported from 2 different inputs") && message.contains(&name), "{message}");
    assert_eq!(lake.votes(&name).unwrap()[0].wins_a, 1);
    let message = lake.votes("w").unwrap_err().to_string();
    assert_eq!(message, "the lake has no votes of dataset 'w'; it has v");
}
