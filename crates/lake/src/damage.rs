//! Finds out which part is damaged after a query has failed, so that the message can name it.

use std::fs::File;

use datafusion::error::DataFusionError;
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;

use crate::LakeError;
use crate::schema::{PartRecord, Table};
use crate::store::{LakeLocation, hash_file, part_path};

/// The error of a query, or the damaged part behind it.
pub(crate) fn name_damaged(
    location: &LakeLocation,
    table: Table,
    parts: &[(PartRecord, String)],
    error: DataFusionError,
) -> LakeError {
    for (part, from) in parts {
        if let Some(reason) = damage(location, table, part) {
            let path = location.on_disk(&part_path(table, &part.file));
            return LakeError::DamagedPart { path, reason, from: from.clone() };
        }
    }
    error.into()
}

/// Checks that every part is there in its full length, before a query reads them.
///
/// DataFusion takes a missing file as an empty one: without this check a query would answer from what is left.
pub(crate) async fn check_present(
    location: &LakeLocation,
    table: Table,
    parts: &[(PartRecord, String)],
) -> Result<(), LakeError> {
    for (part, from) in parts {
        let path = part_path(table, &part.file);
        let reason = match location.store().head(&ObjectPath::from(path.as_str())).await {
            Ok(meta) if meta.size == part.bytes => continue,
            Ok(meta) => wrong_length(meta.size, part.bytes),
            Err(object_store::Error::NotFound { .. }) => MISSING.to_owned(),
            Err(error) => error.to_string(),
        };
        return Err(LakeError::DamagedPart { path: location.on_disk(&path), reason, from: from.clone() });
    }
    Ok(())
}

const MISSING: &str = "the file is missing";

fn wrong_length(found: u64, expected: u64) -> String {
    format!("{found} bytes instead of {expected}")
}

/// What is wrong with a part; `None` when it holds the bytes that were written.
pub(crate) fn damage(location: &LakeLocation, table: Table, part: &PartRecord) -> Option<String> {
    let opened = File::open(location.on_disk(&part_path(table, &part.file)));
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(MISSING.into()),
        Err(error) => return Some(error.to_string()),
    };
    match file.metadata().map(|meta| meta.len()) {
        Ok(bytes) if bytes == part.bytes => {}
        Ok(bytes) => return Some(wrong_length(bytes, part.bytes)),
        Err(error) => return Some(error.to_string()),
    }
    match hash_file(&mut file) {
        Ok(hash) if part.file.starts_with(&hash[..32]) => None,
        Ok(_) => Some("its content does not match its name".into()),
        Err(error) => Some(error.to_string()),
    }
}
