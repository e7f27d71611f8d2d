//! Every Eval Ever: boards of HELM, LiveCodeBench Pro and Global MMLU Lite as one collection holds them.
//!
//! Means over tasks are left out, and so are the agent boards, whose model ids do not say which effort was run.

use std::path::Path;

use anyhow::Result;

use super::build::Builder;
use super::input;

const SOURCE: &str = "every-eval-ever";
/// Collection, evaluation there, benchmark here.
const TAKEN: [(&str, &str, &str); 18] = [
    ("global-mmlu-lite", "Global MMLU Lite", "global-mmlu-lite"),
    ("helm_capabilities", "GPQA", "helm-gpqa"),
    ("helm_capabilities", "IFEval", "helm-ifeval"),
    ("helm_capabilities", "MMLU-Pro", "helm-mmlu-pro"),
    ("helm_capabilities", "Omni-MATH", "helm-omni-math"),
    ("helm_capabilities", "WildBench", "helm-wildbench"),
    ("helm_lite", "GSM8K", "helm-gsm8k"),
    ("helm_lite", "LegalBench", "helm-legalbench"),
    ("helm_lite", "MATH", "helm-math"),
    ("helm_lite", "MMLU", "helm-mmlu"),
    ("helm_lite", "MedQA", "helm-medqa"),
    ("helm_lite", "NarrativeQA", "helm-narrativeqa"),
    ("helm_lite", "NaturalQuestions (closed-book)", "helm-naturalquestions"),
    ("helm_lite", "OpenbookQA", "helm-openbookqa"),
    ("helm_lite", "WMT 2014", "helm-wmt-2014"),
    ("livecodebenchpro", "Easy Problems", "livecodebench-pro-easy"),
    ("livecodebenchpro", "Hard Problems", "livecodebench-pro-hard"),
    ("livecodebenchpro", "Medium Problems", "livecodebench-pro-medium"),
];

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(&data.join("facts/leaderboards/every_eval_ever_history.csv"))? {
        let (collection, eval) = (row.get("collection")?, row.get("eval")?);
        let taken = TAKEN.iter().find(|(c, e, _)| *c == collection && *e == eval);
        let (Some((_, _, benchmark)), Some(value)) = (taken, row.number("score")?) else {
            build.count(SOURCE, "scores of other collections, means and agent boards left out");
            continue;
        };
        let label = row.get("model_id")?;
        if !(0.0..=1.0).contains(&value) {
            build.leave_out(SOURCE, label, &format!("score {value} on {benchmark} is no fraction; -1 stands for none"));
            continue;
        }
        let Some(model) = build.find(SOURCE, label, None) else { continue };
        let cell = str::to_owned;
        let score = [
            model,
            String::new(),
            cell(label),
            cell(benchmark),
            value.to_string(),
            String::new(),
            cell(SOURCE),
            String::new(),
            cell(if collection.starts_with("helm") { "helm" } else { "" }),
            format!("{SOURCE}-{}", collection.replace('_', "-")),
        ];
        build.score("scores_every_eval_ever.csv", score);
    }
    Ok(())
}
