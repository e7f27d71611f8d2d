//! The result of a query as JSON values, row by row: dates as text, nested values as JSON, unknown as null.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Fields, Schema};
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
        // Two columns of a join may have one name, and a JSON object keeps one of them: positions are the names here.
        let fields: Fields =
            self.schema.fields().iter().enumerate().map(|(i, field)| renamed(field, &i.to_string())).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
        for batch in &self.batches {
            let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
            writer.write(&batch.map_err(DataFusionError::from)?).map_err(DataFusionError::from)?;
        }
        writer.finish().map_err(DataFusionError::from)?;
        let bytes = writer.into_inner();
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Map<String, Value>> =
            serde_json::from_slice(&bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let cells = |mut row: Map<String, Value>| {
            (0..schema.fields().len()).map(|i| row.remove(&i.to_string()).unwrap_or(Value::Null)).collect()
        };
        Ok(rows.into_iter().map(cells).collect())
    }
}

fn renamed(field: &Field, name: &str) -> Field {
    field.clone().with_name(name).with_nullable(true)
}
