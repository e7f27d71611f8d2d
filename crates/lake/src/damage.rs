//! Finds out which part is damaged after a query has failed, so that the message can name it.

use std::fs::File;

use datafusion::error::DataFusionError;

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
            return LakeError::DamagedPart { path: part_path(table, &part.file), reason, from: from.clone() };
        }
    }
    error.into()
}

/// What is wrong with a part; `None` when it holds the bytes that were written.
pub(crate) fn damage(location: &LakeLocation, table: Table, part: &PartRecord) -> Option<String> {
    let opened = File::open(location.on_disk(&part_path(table, &part.file)));
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some("the file is missing".into()),
        Err(error) => return Some(error.to_string()),
    };
    match file.metadata().map(|meta| meta.len()) {
        Ok(bytes) if bytes == part.bytes => {}
        Ok(bytes) => return Some(format!("{bytes} bytes instead of {}", part.bytes)),
        Err(error) => return Some(error.to_string()),
    }
    match hash_file(&mut file) {
        Ok(hash) if part.file.starts_with(&hash[..32]) => None,
        Ok(_) => Some("its content does not match its name".into()),
        Err(error) => Some(error.to_string()),
    }
}
