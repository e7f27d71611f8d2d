//! The schema of version 1, pinned.

use weighbridge_lake::IMPORTERS;
use weighbridge_lake::schema::{SCHEMA_VERSION, Table, reference_page};

use crate::{input, new_lake};

#[test]
fn version_1_is_as_written_down() {
    assert_eq!(SCHEMA_VERSION, 1);
    let page = reference_page();
    let golden = include_str!("../golden/schema_v1.md");
    assert!(
        page == golden,
        "the schema changed; if readers of version 1 still understand it, replace the golden by:\n{page}"
    );
}

#[test]
fn a_commit_record_is_as_written_down() {
    let (folder, mut lake) = new_lake();
    let csv = "benchmark,item_id,model,open_or_closed,score,group,run_id,date,more\n\
               b,s1,m,open,1,g,r,2026-01-02,x\nb,s2,m,open,,g,r,2026-01-03,\n";
    let record = lake.import(&input(&folder, "tiny.csv", csv)).unwrap().record;
    let text = std::fs::read_to_string(lake.location().root().join(format!("imports/{}.json", record.id))).unwrap();
    // The bytes of a part depend on the version of the Parquet library, and its name and size with them.
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for table in ["models", "samples"] {
        let part = &mut json["tables"][table][0];
        assert!(part["bytes"].as_u64().unwrap() > 500);
        part["bytes"] = 0.into();
        part["file"] = "<part>".into();
    }
    let shown = serde_json::to_string_pretty(&json).unwrap() + "\n";
    let golden = include_str!("../golden/record_v1.json");
    assert!(shown == golden, "the commit record changed:\n{shown}");
}

#[test]
fn every_importer_is_described() {
    for importer in IMPORTERS {
        assert!(!importer.name.is_empty() && importer.version >= 1 && importer.needs.len() > 20);
    }
    for table in Table::ALL {
        assert_eq!(table.schema().fields().len(), table.columns().len());
        assert!(table.sort_columns().iter().all(|name| table.columns().iter().any(|c| c.name == *name)));
    }
}
