//! The result of a query as JSON values, row by row: dates as text, nested values as JSON, unknown as null.

use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use datafusion::error::DataFusionError;
use serde_json::{Map, Value};

use crate::{LakeError, SqlResult};

impl SqlResult {
    /// The cells of every row, in the order of the columns.
    ///
    /// # Errors
    /// A column has a type that JSON has no form for.
    pub fn cells(&self) -> Result<Vec<Vec<Value>>, LakeError> {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
        for batch in &self.batches {
            writer.write(batch).map_err(DataFusionError::from)?;
        }
        writer.finish().map_err(DataFusionError::from)?;
        let bytes = writer.into_inner();
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Map<String, Value>> =
            serde_json::from_slice(&bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let names: Vec<&String> = self.schema.fields().iter().map(|f| f.name()).collect();
        let cells = |mut row: Map<String, Value>| names.iter().map(|n| row.remove(*n).unwrap_or(Value::Null)).collect();
        Ok(rows.into_iter().map(cells).collect())
    }
}
