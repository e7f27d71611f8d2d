//! `weighbridge rank`: ratings against the reference, and votes that have no answer.

use std::collections::BTreeMap;

use weighbridge_reference::{field, path, read_csv};

use crate::home::{Home, argument, number};

const HEADER: &str = "model_a,model_b,wins_a,wins_b,ties\n";

/// 1,670,250 real votes on 129 models; `bt_reference_20240814.csv` was made by another program.
#[test]
fn ratings_agree_with_bt_reference_20240814() {
    let (Some(votes), Some(reference)) =
        (path("data/reference/chatbotarena_20240814.json"), path("data/reference/bt_reference_20240814.csv"))
    else {
        return;
    };
    let home = Home::with_lake();
    let ranked = home.json(&["rank", &argument(&votes)]);
    let ranked = ranked.as_array().expect("a list");
    let by_name: BTreeMap<&str, _> = ranked.iter().map(|row| (row["model"].as_str().expect("a name"), row)).collect();
    let reference = read_csv(&reference);
    assert_eq!((ranked.len(), by_name.len(), reference.len()), (129, 129, 129));
    for row in &reference {
        let found = by_name[field(row, "model")];
        for (key, column) in [
            ("/rating", "rating_meancentred_1000"),
            ("/se", "se_sandwich"),
            ("/lower", "ci95_lo"),
            ("/upper", "ci95_hi"),
        ] {
            let expect: f64 = field(row, column).parse().expect("a number");
            assert!((number(found, key) - expect).abs() < 1e-3, "{}: {key} {found} {expect}", field(row, "model"));
        }
    }
    assert!(ranked.is_sorted_by(|a, b| number(a, "/rating") >= number(b, "/rating")), "best first");
    assert!(!home.lake().exists(), "ranking a file leaves nothing behind");

    // The same votes from the lake, under the name of their dataset.
    home.answer(&["import", &argument(&votes)]);
    assert_eq!(home.count("votes"), 3460);
    assert_eq!(home.json(&["rank", "chatbotarena_20240814"]).as_array(), Some(ranked));
    let text = home.answer(&["rank", "chatbotarena_20240814"]);
    let first = text.lines().nth(1).expect("a first row");
    assert!(first.contains("chatgpt-4o-latest") && first.contains("1203.9"), "{first}");
}

#[test]
fn the_form_of_a_row_and_its_level() {
    let home = Home::fresh();
    let votes = home.file("votes.csv", format!("{HEADER}ann,bob,30,20,10\nbob,cid,25,25,0\ncid,ann,10,40,4\n"));
    let (wide, narrow) = (home.json(&["rank", &votes]), home.json(&["rank", &votes, "--level", "50"]));
    let row = wide[0].as_object().expect("an object");
    for key in ["model", "rating", "se", "lower", "upper"] {
        assert!(row.contains_key(key), "no {key}");
    }
    assert_eq!(wide[0]["model"], "ann");
    let width = |rows: &serde_json::Value| number(rows, "/0/upper") - number(rows, "/0/lower");
    // Quantiles of the normal distribution: 1.959964 and 0.674490.
    assert!((width(&wide) / width(&narrow) - 1.959_964 / 0.674_490).abs() < 1e-5);
    let mean = wide.as_array().expect("a list").iter().map(|row| number(row, "/rating")).sum::<f64>() / 3.0;
    assert!((mean - 1000.0).abs() < 1e-6, "{mean}");
}

#[test]
fn votes_without_an_answer_say_why() {
    let home = Home::fresh();
    home.file("apart.csv", format!("{HEADER}ann,bob,3,2,1\ncid,dan,1,1,0\n"));
    home.file("sure.csv", format!("{HEADER}ann,bob,3,0,0\n"));
    home.file("self.csv", format!("{HEADER}ann,bob,3,2,0\nann,ann,1,1,0\n"));
    home.file("minus.csv", format!("{HEADER}ann,bob,-3,2,0\n"));
    home.file("samples.csv", "benchmark,item_id,model,open_or_closed,score,group\nb,1,m,open,1,\n");
    home.file("broken.json", "{\"models\": [\"a\", \"b\"], \"X\": [[0, 2]], \"Y\": [[1, 1, 1, 1]]}");
    home.refusals(&[
        ("rank apart.csv", 3, &["apart.csv", "2 groups", "(ann, bob) (cid, dan)", "add votes between the groups"]),
        ("rank sure.csv", 3, &["sure.csv", "no finite rating", "(ann) (bob)"]),
        ("rank self.csv", 3, &["self.csv", "line 3", "model_b", "another model than model_a"]),
        ("rank minus.csv", 3, &["minus.csv", "line 2", "wins_a", "'-3'", "a whole number of votes"]),
        ("rank samples.csv", 3, &["samples.csv", "holds no votes", "samples-csv"]),
        ("rank broken.json", 3, &["broken.json", "X[0] is [0, 2]", "positions 0 to 1"]),
        ("rank nowhere.csv", 3, &["'nowhere.csv'", "neither a file", "import votes first"]),
        ("rank apart.csv --level 0", 3, &["--level 0", "95"]),
        ("rank apart.csv --level high", 2, &["--level", "'high'"]),
        ("rank", 2, &["<VOTES>"]),
    ]);
}

#[test]
fn a_name_that_the_lake_does_not_have_lists_those_that_it_has() {
    let home = Home::with_lake();
    home.answer(&["import", &home.file("friends.csv", format!("{HEADER}ann,bob,3,2,1\n"))]);
    assert!(home.refusal(&["rank", "friend"], 3).contains("friends"));
}
