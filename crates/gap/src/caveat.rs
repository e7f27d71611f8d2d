//! Every threat to a conclusion that Weighbridge knows, each with what it means and what to do.
//!
//! A caveat is raised where a number is made and travels with it to every report.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

macro_rules! caveats {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? } $code:literal $text:expr, $advice:literal;)*) => {
        /// One threat to a conclusion.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Caveat {
            $($(#[$doc])* $name { $($(#[$fdoc])* $field: $ty),* },)*
        }

        impl Caveat {
            /// A stable name for scripts.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)* }
            }

            /// What is the matter, with the numbers of this case.
            #[must_use]
            pub fn message(&self) -> String {
                match self { $(Self::$name { $($field),* } => $text($($field),*),)* }
            }

            /// What the reader can do about it.
            #[must_use]
            pub fn advice(&self) -> &'static str {
                match self { $(Self::$name { .. } => $advice,)* }
            }
        }

        /// Code and advice of every caveat, for the reference page.
        pub const CAVEATS: &[(&str, &str)] = &[$(($code, $advice),)*];
    };
}

caveats! {
    /// The two runs used different versions of the benchmark.
    VersionMix { /// Benchmark.
        benchmark: String, /// Dataset size of the first run.
        size_a: u32, /// Dataset size of the second run.
        size_b: u32 }
    "version-mix" |benchmark: &String, size_a: &u32, size_b: &u32| format!(
        "the runs use different versions of {benchmark}: {size_a} samples against {size_b}"),
    "Compare on the common samples only, as done here, and do not quote the two published scores side by side.";

    /// Samples of the dataset have no score.
    MissingSamples { /// Model label.
        model: String, /// Scored samples.
        scored: u64, /// Samples that should be there.
        expected: u64, /// Mean when every missing sample counts as wrong.
        if_wrong: f64, /// Mean when every missing sample counts as right.
        if_right: f64 }
    "missing-samples" |model: &String, scored: &u64, expected: &u64, if_wrong: &f64, if_right: &f64| format!(
        "{model} has scores for {scored} of {expected} samples; its mean lies between {:.1} % (all missing wrong) and {:.1} % (all right)",
        100.0 * if_wrong, 100.0 * if_right),
    "Treat the mean as a bound, or run the missing samples.";

    /// Repeats of samples have no score.
    UnscoredRepeats { /// Model label.
        model: String, /// Records without a score.
        unscored: u64, /// Records in all.
        records: u64 }
    "unscored-repeats" |model: &String, unscored: &u64, records: &u64| format!(
        "{unscored} of {records} records of {model} have no score; their samples are averaged over the repeats that have one"),
    "Check that the repeats left out did not fail because they were hard.";

    /// Different models graded the answers.
    GraderMix { /// Graders of the first run.
        graders_a: Vec<String>, /// Graders of the second run.
        graders_b: Vec<String> }
    "grader-mix" |a: &Vec<String>, b: &Vec<String>| format!(
        "the answers were graded by different models: {} against {}", list(a), list(b)),
    "Grade both runs with the same grader before trusting a small difference.";

    /// Two models have the same score on every sample.
    DuplicateModel { /// First model label.
        a: String, /// Second model label.
        b: String, /// Samples compared.
        n: u64 }
    "duplicate-model" |a: &String, b: &String, n: &u64| format!(
        "{a} and {b} have the same score on all {n} samples: one record is probably a copy of the other"),
    "Check the source before using either record.";

    /// A judged benchmark was answered with a constant.
    JudgeAttack { /// Model label.
        model: String, /// Samples compared.
        n: u64 }
    "judge-attack" |model: &String, n: &u64| format!(
        "all {n} answers of {model} have the same length: a constant answer that plays on the judge"),
    "Leave the model out; a judge that rewards a constant answer cannot rank models.";

    /// More than one run of a model was there to choose from.
    ChosenRun { /// Model as asked for.
        model: String, /// The run that was taken.
        chosen: String, /// How many there were.
        runs: usize }
    "chosen-run" |model: &String, chosen: &String, runs: &usize| format!(
        "{model} has {runs} runs here; '{chosen}' was taken: most samples with a score, then the latest"),
    "Name the run or the configuration to compare another one.";

    /// The runs were made at different settings.
    ConfigurationMix { /// Configuration of the first run.
        a: String, /// Configuration of the second run.
        b: String }
    "configuration-mix" |a: &String, b: &String| format!(
        "the runs were made at different settings: {a} against {b}"),
    "Read the difference as one between these configurations, not between the models.";

    /// Samples that only one of the two runs has.
    UnmatchedSamples { /// Samples only in the first run.
        only_a: u64, /// Samples only in the second run.
        only_b: u64 }
    "unmatched-samples" |only_a: &u64, only_b: &u64| format!(
        "{only_a} samples of the first run and {only_b} of the second have no scored partner and were left out"),
    "Check that the samples left out are not the hard ones.";

    /// The same sample was recorded more than once.
    DuplicateRows { /// Rows dropped.
        dropped: u64, /// Of these, rows that disagree in their score.
        conflicts: u64 }
    "duplicate-rows" |dropped: &u64, conflicts: &u64| format!(
        "{dropped} rows repeat a sample and epoch already read and were dropped; {conflicts} of them disagree in their score"),
    "Find out which import is right and remove the other.";

    /// Few clusters make the clustered interval unreliable.
    FewClusters { /// Number of clusters.
        clusters: u64 }
    "few-clusters" |clusters: &u64| format!("the clustered standard error rests on {clusters} clusters"),
    "Below about 30 clusters prefer CR1, and read it as a lower bound.";

    /// Few samples.
    SmallSample { /// Paired samples.
        n: u64 }
    "small-sample" |n: &u64| format!("only {n} paired samples"),
    "Differences below a few tens of points cannot be told from chance with so few.";

    /// Scores that are not 0 or 1, so that discordant counts do not exist.
    NotBinary { /// Pairs with another score.
        pairs: u64 }
    "not-binary" |pairs: &u64| format!(
        "{pairs} pairs have scores other than 0 and 1 (averages over epochs, or graded scores), so discordant counts and McNemar's test do not apply"),
    "Use the paired interval.";

    /// Frontier models are chosen as the best of many.
    BestOfMany { /// Open models chosen from.
        open: usize, /// Closed models chosen from.
        closed: usize }
    "best-of-many" |open: &usize, closed: &usize| format!(
        "each frontier is the best of many ({open} open, {closed} closed models), which flatters the model on it"),
    "The interval picks the best anew in every draw, so it carries this; the scores of the leaders alone do not.";

    /// A model at the frontier rests on few benchmarks.
    FewBenchmarks { /// Model name.
        model: String, /// Benchmarks with a score.
        n: usize }
    "few-benchmarks" |model: &String, n: &usize| format!("{model} has scores on only {n} benchmarks of the index"),
    "Wait for more scores before relying on its place.";

    /// Models of unknown access were left out.
    UnknownAccess { /// Names, best first.
        models: Vec<String> }
    "unknown-access" |models: &Vec<String>| format!(
        "{} models of unknown access stand on neither frontier: {}", models.len(), list(models)),
    "Settle them in catalog/overrides.csv with a source.";

    /// A release date is known only to the month or year.
    ImpreciseDate { /// Models.
        models: Vec<String> }
    "imprecise-date" |models: &Vec<String>| format!(
        "the release of {} is known only to the month or year; the first day was used", list(models)),
    "The lag may be off by as much.";

    /// Sources disagree about release dates.
    DateDisagreement { /// Models.
        models: Vec<String> }
    "date-disagreement" |models: &Vec<String>| format!(
        "sources disagree about the release of {}; the intervals of the lag and the mean gap are widened by it", list(models)),
    "'weighbridge models NAME' lists the dates.";

    /// The lag has no end yet.
    CensoredLag { /// Rule of the lag.
        rule: String, /// Share of days or levels that are censored.
        share: f64 }
    "censored-lag" |rule: &String, share: &f64| format!(
        "{:.0} % of what the lag rule '{rule}' looks at has no match yet; these enter as lower bounds", 100.0 * share),
    "Read the lag as 'at least'.";

    /// A lag rule has no answer.
    LagUnavailable { /// Rule.
        rule: String }
    "lag-unavailable" |rule: &String| format!("lag rule '{rule}' finds no score that both sides have reached by then"),
    "Use another rule, or a later date.";

    /// The rules for the lag disagree.
    LagRulesDisagree { /// Smallest lag in months.
        low: f64, /// Rule of the smallest.
        low_rule: String, /// Largest lag in months.
        high: f64, /// Rule of the largest.
        high_rule: String }
    "lag-rules-disagree" |low: &f64, low_rule: &String, high: &f64, high_rule: &String| format!(
        "the lag is {low:.1} months by rule '{low_rule}' and {high:.1} by rule '{high_rule}'"),
    "Name the rule whenever you quote the lag.";

    /// The date asked for lies outside the facts.
    BeyondFacts { /// Date asked for.
        as_of: String, /// Newest facts.
        facts: String }
    "beyond-facts" |as_of: &String, facts: &String| format!(
        "the facts end on {facts}; nothing is known about releases up to {as_of}"),
    "Import newer facts, or ask for an earlier date.";

    /// Scores measured after the date asked for were used.
    Hindsight { /// Date asked for.
        as_of: String, /// Newest facts.
        facts: String }
    "hindsight" |as_of: &String, facts: &String| format!(
        "the index uses all scores known on {facts}, also those measured after {as_of}; only the models are limited to releases by then"),
    "Read the past as it looks today, not as it looked then.";

    /// Models without a price.
    PriceUnknown { /// Models.
        models: Vec<String> }
    "price-unknown" |models: &Vec<String>| format!("no price is known for {}", list(models)),
    "Add a dated price to the catalog; an unknown price is not zero.";

    /// Prices were taken at different dates.
    PriceDates { /// Oldest price used.
        oldest: String, /// Newest price used.
        newest: String }
    "price-dates" |oldest: &String, newest: &String| format!("prices were recorded between {oldest} and {newest}"),
    "Check the provider's page before budgeting.";

    /// Scores of one benchmark come from several sources.
    SourceMix { /// Benchmark.
        benchmark: String, /// Sources.
        sources: usize }
    "source-mix" |benchmark: &String, sources: &usize| format!(
        "scores on {benchmark} come from {sources} sources, which may differ in harness, prompt and effort"),
    "Use `compare` on the same samples where both models have them.";

    /// Scores whose sample counts are not known.
    UnknownPrecision { /// Models without a sample count.
        models: usize, /// Models in all.
        of: usize, /// The count that stood in.
        usual: Option<u32> }
    "unknown-precision" |models: &usize, of: &usize, usual: &Option<u32>| format!(
        "the number of samples is not known for the scores of {models} of {of} models{}",
        usual.map_or_else(|| ", so no interval can be given".into(), |n| format!("; {n}, the usual number of the benchmark, stood in"))),
    "Import per-sample results for an interval that rests on the runs themselves.";

    /// Bootstrap draws that failed.
    FailedDraws { /// Failed.
        failed: usize, /// Made.
        draws: usize }
    "failed-draws" |failed: &usize, draws: &usize| format!("{failed} of {draws} bootstrap draws did not converge and were left out"),
    "Raise --draws; if it stays, report it as a defect.";

    /// Few draws.
    FewDraws { /// Made.
        draws: usize }
    "few-draws" |draws: &usize| format!("the intervals rest on only {draws} draws"),
    "Use at least 200 draws for a 90 % interval.";

    /// No cost is known for one side.
    CostUnknown { /// Model label.
        model: String, /// Why.
        why: String }
    "cost-unknown" |model: &String, why: &String| format!("the cost of {model} is not known: {why}"),
    "Compare prices per million tokens instead, or run both with token counts.";
}

impl Serialize for Caveat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Caveat", 3)?;
        out.serialize_field("code", self.code())?;
        out.serialize_field("message", &self.message())?;
        out.serialize_field("advice", self.advice())?;
        out.end()
    }
}

/// The first few of a list, and how many more there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "nothing".into(),
        n if n > SHOWN => format!("{shown} and {} more", n - SHOWN),
        _ => shown,
    }
}
