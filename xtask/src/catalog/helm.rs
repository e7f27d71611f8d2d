//! HELM's model metadata: older text models with lab, access, size and release date.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::build::{Builder, slug};
use super::input;

const SOURCE: &str = "helm";
/// Parts of a name that say how a model was run or served, not which one it is.
const RUN_OR_SERVED: [&str; 14] = [
    "-thinking-10k",
    "-thinking-disabled",
    "-reasoning-effort",
    "-hide-reasoning",
    "-dspy-",
    "-safety-",
    "-with-guardian",
    "-awq",
    "-fp8",
    "-32kseqlen",
    "-bedrock",
    "instruct-turbo",
    "instruct-lite",
    "-no-peft",
];

#[derive(Deserialize)]
struct Metadata {
    models: Vec<HelmModel>,
}

#[derive(Deserialize)]
struct HelmModel {
    name: String,
    display_name: String,
    creator_organization_name: String,
    access: String,
    num_parameters: Option<f64>,
    release_date: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    let text = input::text(&data.join("facts/helm_model_metadata.yaml"))?;
    let metadata: Metadata = serde_saphyr::from_str(&text).context("helm_model_metadata.yaml has another shape")?;
    for model in metadata.models {
        add_model(&model, build);
    }
    Ok(())
}

fn add_model(model: &HelmModel, build: &mut Builder) {
    let has = |tag: &str| model.tags.iter().any(|t| t == tag);
    let tail = model.name.rsplit('/').next().unwrap_or_default();
    let open = match model.access.as_str() {
        "open" => true,
        "limited" | "closed" => false,
        _ => return build.leave_out(SOURCE, &model.name, "unknown kind of access"),
    };
    if RUN_OR_SERVED.iter().any(|part| tail.contains(part)) {
        return build.leave_out(SOURCE, &model.name, "another way to run or serve a model");
    }
    let id = match build.known(SOURCE, tail, &model.display_name) {
        Ok(Some(id)) => id,
        Err(why) => return build.leave_out(SOURCE, &model.name, why),
        Ok(None) => {
            let released = !has("ABLATION_MODEL_TAG") && !has("UNSUPPORTED_MODEL_TAG");
            if !has("TEXT_MODEL_TAG") || !released || tail.contains("-guard") {
                return build.leave_out(SOURCE, &model.name, "not a released text model");
            }
            let Some(lab) = build.names.lab(model.creator_organization_name.trim()).map(str::to_owned) else {
                return build.leave_out(SOURCE, &model.name, "lab is not in labs.csv");
            };
            let id = format!("{lab}/{}", slug(tail));
            build.add_model(&id, &model.display_name);
            id
        }
    };
    let (access, reason) = if open { ("open-weights", "listed as open") } else { ("closed", "listed as served only") };
    let known = build.field(&id, "access").to_owned();
    if known.is_empty() {
        build.fact(&id, "access_reason", reason, "access_source", SOURCE);
        build.fact(&id, "access", access, "access_source", SOURCE);
    } else if known != "unknown" && known != access {
        build.leave_out(SOURCE, &model.name, &format!("says {access}, an earlier source says {known}"));
    }
    build.alias(&model.name, &id, SOURCE);
    build.released(&id, model.release_date.as_deref().unwrap_or_default(), SOURCE);
    if let Some(parameters) = model.num_parameters {
        build.fact(&id, "parameters_total", &format!("{parameters:.0}"), "parameters_source", SOURCE);
    }
}
