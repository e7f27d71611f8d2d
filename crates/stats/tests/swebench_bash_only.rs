//! MiniMax M2 against Claude 4.5 Opus on SWE-bench Verified, to the digits printed (`notes/methods.md` 3 of the reference data).

mod common;

use common::{contrast, prints};
use weighbridge_reference::path;
use weighbridge_stats::mcnemar::mcnemar;
use weighbridge_stats::paired::Discordant;

#[test]
fn minimax_m2_against_claude_4_5_opus() {
    let Some(file) = path("data/items/swebench_verified_bash_only.csv.gz") else { return };
    let found = contrast(&file, "Claude 4.5 Opus medium (20251101)", "Minimax M2");
    assert_eq!(found.n, 500);
    prints(found.mean_a, "0.744");
    prints(found.mean_b, "0.610");
    prints(found.difference, "0.134");
    prints(found.paired_se, "0.019412");
    prints(found.unpaired_se, "0.029299");
    let Discordant { only_a, only_b, not_binary, .. } = found.discordant;
    assert_eq!((only_a, only_b, not_binary), (85, 18, 0));
    let clusters = found.cluster_se.clone().unwrap();
    assert_eq!(clusters.clusters, 12);
    prints(clusters.cr0, "0.021971");
    prints(clusters.cr1, "0.022948");
    let test = mcnemar(only_a, only_b).unwrap();
    assert_eq!(format!("{:.3e}", test.exact_p), "1.363e-11");
    prints(test.chi2, "43.5825");
    prints(test.chi2_corrected, "42.2913");
}
