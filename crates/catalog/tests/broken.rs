//! A catalog with one wrong row: the error or the finding names the file, the line and what was expected.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use weighbridge_catalog::{Catalog, Level, check};

/// A copy of the catalog in which the first `from` of `file` has become `to`.
fn broken(file: &str, from: &str, to: &str) -> std::io::Result<TempDir> {
    let copy = TempDir::new()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog");
    fs::create_dir(copy.path().join("samples"))?;
    for name in Catalog::file_names() {
        fs::copy(folder.join(name), copy.path().join(name))?;
    }
    let text = fs::read_to_string(folder.join(file))?;
    assert!(text.contains(from), "{file} has no '{from}'");
    fs::write(copy.path().join(file), text.replacen(from, to, 1))?;
    Ok(copy)
}

/// A row that does not parse is refused with its place.
#[test]
fn a_row_that_does_not_parse_is_named() {
    let check = |file: &str, from: &str, to: &str, expected: &str| {
        let folder = broken(file, from, to).unwrap();
        let message = Catalog::from_dir(folder.path()).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{file}, line ")) && message.ends_with(expected), "{message}");
    };
    let header = "model,configuration,label,benchmark,value";
    check(
        "scores.csv",
        header,
        "model,benchmark",
        "model,configuration,label,benchmark,value,n,source,date,harness,dataset'",
    );
    check("scores.csv", ",0.605,", ",0.6o5,", "line 2, column 'value': '0.6o5' is not a number");
    check("scores.csv", ",0.605,", ",inf,", "line 2, column 'value': 'inf' is not a finite number");
    check(
        "models.csv",
        ",open-weights,",
        ",open-ish,",
        "column 'access': 'open-ish' is not open-weights, closed or unknown",
    );
    check("models.csv", ",2026-07-16,", ",2026-07-46,", "'2026-07-46' is not a date YYYY-MM-DD, YYYY-MM or YYYY");
    check("labs.csv", "anthropic,Anthropic,", "anthropic,", "3 fields, expected 4 fields");
    check("benchmarks.csv", ",true,", ",yes,", "column 'index': 'yes' is not true or false");
    check("providers.csv", ",openai_chat,", ",openai_chatty,", "'openai_chatty' is not dialects, separated by '|'");
    check("providers.csv", ",0.5,", ",half,", "column 'batch_share': 'half' is not a number");
    check("endpoints.csv", ",1024-127999,", ",127999-1024,", "column 'budget': '127999-1024' is not fewest-most");
    check("endpoints.csv", ",128000,", ",128k,", "column 'max_output': '128k' is not a whole number");
    check("endpoints.csv", "temperature|", "heat|", "is not settings, separated by '|'");
    check("hosted.csv", ",2025-08-07,", ",,", "column 'starts': '' is not a date YYYY-MM-DD");
    check("offerings_genai.csv", ",200000:10:1:12.5:37.5,", ",200000:10,", "shortest first, separated by '|'");
}

/// A row that parses and cannot be right is found by the check.
#[test]
fn a_row_that_cannot_be_right_is_found() {
    let check = |file: &str, from: &str, to: &str, expected: &str| {
        let folder = broken(file, from, to).unwrap();
        let catalog = Catalog::from_dir(folder.path()).unwrap();
        let found: Vec<_> =
            check(&catalog).into_iter().filter(|f| f.level == Level::Error).map(|f| f.to_string()).collect();
        let named = found.iter().any(|f| f.starts_with(&format!("error: {file}, line ")) && f.ends_with(expected));
        assert!(named, "expected '{expected}' in {found:#?}");
    };
    check("scores.csv", ",0.605,", ",60.5,", "value 60.5 is not a fraction between 0 and 1");
    check(
        "scores.csv",
        "amazon/amazon-nova-pro,",
        "amazon/nova-pro-9,",
        "model 'amazon/nova-pro-9' is not in models.csv",
    );
    check("scores.csv", ",lech-mazur-writing,", ",no-such,", "benchmark 'no-such' is not in benchmarks.csv");
    check("prices_litellm.csv", ",litellm,", ",nobody,", "source 'nobody' is not in sources.csv");
    check(
        "models.csv",
        "moonshot/kimi-k3,Kimi K3,moonshot,",
        "moonshot/kimi-k3,Kimi K3,nobody,",
        "lab 'nobody' is not in labs.csv",
    );
    check("models.csv", ",2026-07-16,", ",2031-07-16,", "to the day of the newest source");
    check("models.csv", ",accessibility recorded as: API access,", ",,", "has no reason or no source");
    check("models.csv", "zai/glm-5.1,", "zai/glm-5.2,", "expected one row an id");
    check(
        "aliases.csv",
        "claude-opus-4-6,anthropic/claude-opus-4.6",
        "claude-opus-4-5,anthropic/claude-opus-4.6",
        "expected one model",
    );
    check(
        "moving.csv",
        "deepseek/deepseek-v3.2,",
        "deepseek/deepseek-v9,",
        "model 'deepseek/deepseek-v9' is not in models.csv",
    );
    check("providers.csv", "https://api.openai.com/v1,", "https://api.openai.com/v1/,", "without a slash at its end");
    check(
        "providers.csv",
        "xai,xAI,x-ai|grok",
        "xai,xAI,x-ai|claude",
        "'claude' names 'anthropic' too, expected one provider",
    );
    check("providers.csv", ",OPENAI_API_KEY,", ",,", "names no variable that may hold it");
    check("providers.csv", ",openai-docs", ",no-docs", "source 'no-docs' is not in sources.csv");
    check("endpoints.csv", "openai,gpt-6.1-sol*", "openai,gpt-[6]*", "only '*' and '?' are special");
    check("endpoints.csv", "openai,gpt-6.1-sol*", "nobody,gpt-6.1-sol*", "provider 'nobody' is not in providers.csv");
    check("endpoints.csv", "openai,gpt-6.1-sol*", "openai,gpt-*", "line 2 matches all of it");
    check("endpoints.csv", "low|medium|high|xhigh|max", "medium|low|high", "levels of reasoning are not ascending");
    check(
        "hosted.csv",
        "chatgpt,openai,gpt-5,2025-08-07",
        "chatgpt,openai,gpt-5,2026-08-07",
        "is not in order of alias and day",
    );
    check("hosted.csv", "chatgpt,openai", "chatgpt,nobody", "provider 'nobody' is not in providers.csv");
    check("offerings_litellm.csv", ",litellm", ",nobody", "source 'nobody' is not in sources.csv");
    check(
        "offerings_genai.csv",
        "anthropic/claude-opus-5,5,",
        "anthropic/claude-opus-5,-5,",
        "expected dollars per million tokens",
    );
    check("offerings_genai.csv", ",2026-03-13,", ",,", "is not in order of its day");
}

#[test]
fn letters_that_mean_nothing_are_refused() {
    let file = "samples/epoch_chess_puzzles.outcomes.csv";
    let folder = broken(file, ",1,0", ",1,x").unwrap();
    let catalog = Catalog::from_dir(folder.path()).unwrap();
    let errors = catalog.sample_sets().unwrap().into_iter().filter(|s| s.benchmark == "epoch_chess_puzzles");
    let errors: Vec<_> = errors.filter_map(|s| catalog.open_samples(&s.benchmark, &s.run).err()).collect();
    assert_eq!(errors.len(), 1);
    let message = errors[0].to_string();
    assert!(message.starts_with(file) && message.ends_with("is not 100 letters of 1, 0, n, m and ."), "{message}");
}
