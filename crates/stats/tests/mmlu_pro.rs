//! Llama-3.1-70B-Instruct against Gemini-1.5-Pro-002 on MMLU-Pro, to the digits printed (`notes/methods.md` 3 of the reference data).

mod common;

use common::{contrast, prints};
use weighbridge_reference::path;

#[test]
fn llama_3_1_70b_against_gemini_1_5_pro() {
    let Some(file) = path("data/items/mmlu_pro.csv.gz") else { return };
    let found = contrast(&file, "Meta-Llama-3_1-70B-Instruct", "gemini-1.5-pro-002");
    assert_eq!(found.n, 12_020);
    prints(found.mean_a, "0.628369");
    prints(found.mean_b, "0.702496");
    prints(found.paired_se, "0.004504");
    assert_eq!((found.discordant.only_b, found.discordant.only_a), (1944, 1053));
    let clusters = found.cluster_se.unwrap();
    assert_eq!(clusters.clusters, 14);
    prints(clusters.cr0, "0.0250");
}
