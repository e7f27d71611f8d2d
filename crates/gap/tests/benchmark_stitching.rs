//! The index solver against the published fit of the benchmark-stitching paper (179 models, 38 benchmarks).
//!
//! Reference: `data/reference/benchmark_stitching`. The same objective without clipping; capabilities are shifted so that
//! Winogrande has difficulty 0.

use weighbridge_gap::index::{Parameters, Problem, solve};
use weighbridge_reference::{field, path, read_csv};

#[test]
fn the_top_ten_capabilities_are_reproduced() {
    let Some(folder) = path("data/reference/benchmark_stitching") else { return };
    let input = read_csv(&folder.join("fit_input_1532.csv"));
    let row = |r: &Vec<(String, String)>| {
        (field(r, "model_id").to_owned(), field(r, "benchmark_id").to_owned(), field(r, "performance").parse().unwrap())
    };
    let rows: Vec<(String, String, f64)> = input.iter().map(row).collect();
    let anchor = field(input.iter().find(|r| field(r, "benchmark") == "Winogrande").unwrap(), "benchmark_id");
    let problem = Problem::new(rows.iter().map(|(m, b, y)| (m.as_str(), b.as_str(), *y)), anchor, 0.0).unwrap();
    assert_eq!((problem.models.len(), problem.benchmarks.len(), problem.parameters()), (179, 38, 254));
    let ones = vec![1.0; rows.len()];
    let fit = solve(&problem, &ones, &Parameters::start(&problem));
    assert!(fit.converged);
    assert!((fit.cost - 3.4474).abs() < 5e-5, "cost {}", fit.cost);

    let shift = fit.parameters.difficulty[problem.slope_anchor];
    let expected = read_csv(&folder.join("expected_capabilities.csv"));
    assert_eq!(expected.len(), 179);
    for (rank, row) in expected.iter().enumerate() {
        let model = problem.model(field(row, "model_id")).unwrap();
        let ours = fit.parameters.capability[model] - shift;
        let theirs: f64 = field(row, "estimated_capability").parse().unwrap();
        let tolerance = if rank < 10 { 1e-4 } else { 1e-3 };
        assert!((ours - theirs).abs() < tolerance, "{}: {ours} against {theirs}", field(row, "Model"));
    }
}
