//! Rows as text, on standard output unless told otherwise.
//!
//! Enters: rows with their kinds. Leaves: a line per row, `+I[1, abc]`, as Flink's `print` connector writes it. Invariant: a line
//! is written whole, also when several subtasks print at once.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::Batch;
use crate::connector::sink::{EncodedBatch, Sink, SinkInput, SinkWriter, WriterContext};
use crate::error::{Error, Result};
use crate::sql::text::to_text;
use crate::types::FlinkType;

/// Where lines go; shared by all subtasks.
pub type Output = Arc<Mutex<dyn Write + Send>>;

/// A table that is printed.
pub struct PrintSink {
    /// Types of the columns.
    types: Arc<[FlinkType]>,
    /// Option `print-identifier`: what lines start with; may be empty.
    identifier: String,
    /// Session time zone, for `TIMESTAMP_LTZ`.
    time_zone: String,
    /// Where lines go.
    output: Output,
}

impl std::fmt::Debug for PrintSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrintSink")
            .field("types", &self.types)
            .field("identifier", &self.identifier)
            .finish_non_exhaustive()
    }
}

impl PrintSink {
    /// A sink that prints rows of these column types to standard output.
    pub fn new(types: Vec<FlinkType>, time_zone: &str) -> Self {
        Self {
            types: types.into(),
            identifier: String::new(),
            time_zone: time_zone.to_owned(),
            output: Arc::new(Mutex::new(std::io::stdout())),
        }
    }

    /// Starts lines with an identifier: option `print-identifier`.
    #[must_use]
    pub fn with_identifier(mut self, identifier: &str) -> Self {
        identifier.clone_into(&mut self.identifier);
        self
    }

    /// Prints elsewhere (standard error, a test).
    #[must_use]
    pub fn with_output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }
}

/// What the lines of a subtask start with.
///
/// # Source
/// Flink's print connector: the identifier, the number of the task from 1 when there are several, and `> ` behind either.
fn prefix(identifier: &str, context: &WriterContext) -> String {
    let task = (context.parallelism > 1).then(|| (context.subtask_index + 1).to_string());
    match (identifier, task) {
        ("", None) => String::new(),
        ("", Some(task)) => format!("{task}> "),
        (identifier, None) => format!("{identifier}> "),
        (identifier, Some(task)) => format!("{identifier}:{task}> "),
    }
}

impl Sink for PrintSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(PrintWriter {
            types: Arc::clone(&self.types),
            prefix: prefix(&self.identifier, &context),
            time_zone: self.time_zone.clone(),
            output: Arc::clone(&self.output),
            text: String::new(),
        }))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Rows
    }
}

/// Prints for one subtask.
struct PrintWriter {
    /// Types of the columns.
    types: Arc<[FlinkType]>,
    /// What lines start with.
    prefix: String,
    /// Session time zone.
    time_zone: String,
    /// Where lines go.
    output: Output,
    /// Lines of the batch at hand.
    text: String,
}

impl std::fmt::Debug for PrintWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrintWriter")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl PrintWriter {
    /// Appends the line of a row.
    fn push_row(&mut self, batch: &Batch, row: usize) -> Result<()> {
        self.text.push_str(&self.prefix);
        self.text.push_str(batch.kind(row).short_name());
        self.text.push('[');
        for (i, (column, ty)) in batch.columns.iter().zip(self.types.iter()).enumerate() {
            if i > 0 {
                self.text.push_str(", ");
            }
            let value = to_text(column, row, ty, &self.time_zone)?;
            self.text.push_str(value.as_deref().unwrap_or("null"));
        }
        self.text.push_str("]\n");
        Ok(())
    }
}

impl SinkWriter for PrintWriter {
    fn write_rows(&mut self, batch: &Batch) -> Result<()> {
        if batch.columns.len() != self.types.len() {
            return Err(Error::internal(format!(
                "the print sink has {} columns and got {}",
                self.types.len(),
                batch.columns.len()
            )));
        }
        self.text.clear();
        for row in 0..batch.rows {
            self.push_row(batch, row)?;
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output
            .write_all(self.text.as_bytes())
            .and_then(|()| output.flush())
            .map_err(|error| Error::storage(format!("cannot print: {error}")))
    }

    fn write_records(&mut self, _records: &EncodedBatch) -> Result<()> {
        Err(Error::internal("the print sink takes rows"))
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn flush(&mut self) -> Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;
    use crate::batch::RowKind;
    use crate::task::Waker;
    use crate::time::SystemClock;
    use crate::types::TypeKind;

    /// Prints two rows as one subtask of several and returns the text.
    fn printed(identifier: &str, parallelism: usize) -> String {
        let output = Arc::new(Mutex::new(Vec::new()));
        let types = vec![TypeKind::Int.not_null(), TypeKind::string().nullable()];
        let sink = PrintSink::new(types, "UTC")
            .with_identifier(identifier)
            .with_output(output.clone());
        let mut writer = sink
            .writer(WriterContext {
                publishes: false,
                subtask_index: parallelism - 1,
                parallelism,
                statement_uid: "s".into(),
                transactions: None,
                waker: Waker::default(),
                clock: SystemClock::shared(),
            })
            .unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1, 2])),
            Arc::new(StringArray::from(vec![Some("abc"), None])),
        ];
        let batch = Batch {
            columns,
            rows: 2,
            kinds: Some([RowKind::Insert, RowKind::Delete].into()),
        };
        writer.write_rows(&batch).unwrap();
        let bytes = output.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn prints_rows_as_flink_does() {
        assert_eq!(printed("", 1), "+I[1, abc]\n-D[2, null]\n");
        assert_eq!(printed("out", 1), "out> +I[1, abc]\nout> -D[2, null]\n");
        assert_eq!(printed("", 2), "2> +I[1, abc]\n2> -D[2, null]\n");
        assert_eq!(printed("out", 2), "out:2> +I[1, abc]\nout:2> -D[2, null]\n");
    }
}
