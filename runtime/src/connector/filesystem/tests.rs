//! Files written and read in real directories.

use std::collections::BTreeMap;

use super::*;
use crate::connector::sink::{EncodedBatch, Sink, SinkWriter, WriterContext};
use crate::connector::source::{Poll, Range, ReaderContext, Source, SourceReader, SplitPosition};
use crate::error::Code;
use crate::sql::catalog::ObjectName;
use crate::task::Waker;
use crate::time::SystemClock;

/// A table of a path with further options.
fn table(path: &Path, options: &[(&str, &str)]) -> TableDef {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut options: BTreeMap<String, String> = options.iter().map(pair).collect();
    options.insert("path".into(), format!("file://{}", path.display()));
    TableDef {
        name: ObjectName {
            catalog: "c".into(),
            database: "d".into(),
            name: "t".into(),
        },
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        distributed_by: Vec::new(),
        buckets: None,
        options,
        comment: None,
    }
}

/// One of two readers.
fn reader(
    source: &FilesystemSource,
    subtask_index: usize,
    restored: Option<Vec<SplitPosition>>,
) -> Box<dyn SourceReader> {
    let context = ReaderContext {
        subtask_index,
        parallelism: 2,
        restored,
        waker: Waker::default(),
        clock: SystemClock::shared(),
    };
    source.reader(context).unwrap()
}

/// Lines and end offsets up to the end, or of the first `polls` answers.
fn read(reader: &mut dyn SourceReader, rows_max: usize, polls: usize) -> Vec<(String, i64)> {
    let mut lines = Vec::new();
    for _ in 0..polls {
        match reader.poll(rows_max).unwrap() {
            Poll::Raw(batch) => {
                assert!(batch.rows() <= rows_max);
                for row in 0..batch.rows() {
                    let value = batch.value(row).unwrap();
                    lines.push((String::from_utf8(value.into()).unwrap(), batch.offsets[row]));
                }
            }
            Poll::SplitFinished { .. } => {}
            Poll::EndOfInput => break,
            other => panic!("a file source never answers {other:?}"),
        }
    }
    lines
}

/// The lines alone.
fn texts(lines: &[(String, i64)]) -> Vec<&str> {
    lines.iter().map(|(line, _)| line.as_str()).collect()
}

/// A writer of a directory.
fn writer(sink: &FilesystemSink) -> Box<dyn SinkWriter> {
    let context = WriterContext {
        publishes: false,
        subtask_index: 3,
        parallelism: 4,
        statement_uid: "uid".into(),
        transactions: None,
        waker: Waker::default(),
        clock: SystemClock::shared(),
    };
    sink.writer(context).unwrap()
}

/// Encoded records.
fn records(values: &[&str]) -> EncodedBatch {
    let mut batch = EncodedBatch::default();
    for value in values {
        batch.keys.push(None);
        batch.values.push(Some(Range {
            start: u32::try_from(batch.buffer.len()).unwrap(),
            len: u32::try_from(value.len()).unwrap(),
        }));
        batch.buffer.extend_from_slice(value.as_bytes());
    }
    batch
}

/// Names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn lines_of_all_files_come_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("a"), "1\r\n\n22\nlast").unwrap();
    std::fs::write(dir.path().join("b"), "").unwrap();
    std::fs::write(dir.path().join("sub/c"), "3\n").unwrap();
    std::fs::write(dir.path().join(".hidden"), "no\n").unwrap();
    std::fs::write(dir.path().join("_SUCCESS"), "no\n").unwrap();
    let source = FilesystemSource::new(&table(dir.path(), &[("format", "json")])).unwrap();
    assert!(source.is_bounded());
    let mut first = reader(&source, 0, None);
    let lines = read(first.as_mut(), 10, 100);
    let wanted = [("1", 3), ("22", 7), ("last", 11), ("3", 2)];
    assert_eq!(lines, wanted.map(|(line, end)| (line.to_owned(), end)));
    assert!(matches!(first.poll(10).unwrap(), Poll::EndOfInput));
    assert!(read(reader(&source, 1, None).as_mut(), 10, 100).is_empty());
    let raw = FilesystemSource::new(&table(&dir.path().join("a"), &[("format", "raw")])).unwrap();
    let lines = read(reader(&raw, 0, None).as_mut(), 10, 100);
    assert_eq!(texts(&lines), ["1", "", "22", "last"]);
}

#[test]
fn a_restored_reader_goes_on_behind_its_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..60_000).map(|i| format!("line {i}")).collect();
    let content = lines.join("\n");
    std::fs::write(dir.path().join("a"), &content).unwrap();
    let source = FilesystemSource::new(&table(dir.path(), &[])).unwrap();
    let all: Vec<&str> = content.lines().collect();
    for polls in [0, 1, 17] {
        let mut first = reader(&source, 0, None);
        let mut lines = read(first.as_mut(), 999, polls);
        let mut second = reader(&source, 0, Some(first.positions()));
        lines.extend(read(second.as_mut(), 100_000, 1000));
        assert_eq!(texts(&lines), all);
    }
}

#[test]
fn a_file_that_changed_or_went_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, "1\n").unwrap();
    let source = FilesystemSource::new(&table(dir.path(), &[])).unwrap();
    let at = |topic: &Path, offset| SplitPosition {
        topic: topic.to_str().unwrap().to_owned(),
        partition: 0,
        offset,
    };
    let mut replaced = reader(&source, 0, Some(vec![at(&path, 99)]));
    assert!(replaced.poll(1).unwrap_err().message.contains("replaced"));
    let context = ReaderContext {
        subtask_index: 0,
        parallelism: 1,
        restored: Some(vec![at(&dir.path().join("gone"), 0)]),
        waker: Waker::default(),
        clock: SystemClock::shared(),
    };
    let error = source.reader(context).unwrap_err();
    assert!(error.message.contains("is gone"), "{error}");
}

#[test]
fn a_line_past_the_bound_is_an_error_that_names_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let mut content = b"ok\n".to_vec();
    content.resize(17 * 1024 * 1024, b'x');
    std::fs::write(dir.path().join("a"), content).unwrap();
    let source = FilesystemSource::new(&table(dir.path(), &[])).unwrap();
    let mut reader = reader(&source, 0, None);
    assert_eq!(texts(&read(reader.as_mut(), 10, 1)), ["ok"]);
    let message = reader.poll(10).unwrap_err().message;
    assert!(message.contains("/a\": the line at byte 3 "), "{message}");
}

#[test]
fn bad_paths_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let missing = FilesystemSource::new(&table(&dir.path().join("no"), &[])).unwrap_err();
    assert_eq!(missing.code, Code::Storage);
    let mut remote = table(dir.path(), &[]);
    remote.options.insert("path".into(), "s3://b/k".into());
    assert_eq!(
        FilesystemSink::new(&remote).unwrap_err().code,
        Code::Unsupported
    );
    remote.options.remove("path");
    assert_eq!(
        FilesystemSource::new(&remote).unwrap_err().code,
        Code::InvalidOption
    );
    std::fs::write(dir.path().join("file"), "").unwrap();
    let file = table(&dir.path().join("file"), &[]);
    assert_eq!(
        FilesystemSink::new(&file).unwrap_err().code,
        Code::InvalidOption
    );
    let size = table(dir.path(), &[("sink.rolling-policy.file-size", "big")]);
    assert_eq!(
        FilesystemSink::new(&size).unwrap_err().code,
        Code::InvalidOption
    );
    // Below a file no directory can be made, whoever runs the test.
    let below = FilesystemSink::new(&table(&dir.path().join("file/sub"), &[])).unwrap();
    let context = WriterContext {
        publishes: false,
        subtask_index: 0,
        parallelism: 1,
        statement_uid: "uid".into(),
        transactions: None,
        waker: Waker::default(),
        clock: SystemClock::shared(),
    };
    assert_eq!(below.writer(context).unwrap_err().code, Code::Storage);
}

#[test]
fn files_are_seen_only_when_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let sink = FilesystemSink::new(&table(&out, &[])).unwrap();
    let mut first = writer(&sink);
    first.write_records(&records(&["a", "b"])).unwrap();
    first.write_records(&records(&["c"])).unwrap();
    assert_eq!(names(&out), [".part-uid-3-0.in-progress"]);
    assert!(first.flush().unwrap());
    assert_eq!(names(&out), ["part-uid-3-0"]);
    assert_eq!(
        std::fs::read_to_string(out.join("part-uid-3-0")).unwrap(),
        "a\nb\nc\n"
    );
    // Nothing new, no new file.
    assert!(first.flush().unwrap());
    first.write_records(&records(&["lost"])).unwrap();
    drop(first);
    assert_eq!(names(&out), [".part-uid-3-1.in-progress", "part-uid-3-0"]);
    let mut second = writer(&sink);
    second.write_records(&records(&["d"])).unwrap();
    assert!(second.flush().unwrap());
    drop(second);
    drop(writer(&sink));
    assert_eq!(names(&out), ["part-uid-3-0", "part-uid-3-1"]);
    assert_eq!(
        std::fs::read_to_string(out.join("part-uid-3-1")).unwrap(),
        "d\n"
    );
    let source = FilesystemSource::new(&table(&out, &[])).unwrap();
    let mut lines = read(reader(&source, 0, None).as_mut(), 10, 100);
    lines.extend(read(reader(&source, 1, None).as_mut(), 10, 100));
    assert_eq!(texts(&lines), ["a", "b", "c", "d"]);
}

#[test]
fn files_roll_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let options = [("sink.rolling-policy.file-size", "1 kb")];
    let sink = FilesystemSink::new(&table(dir.path(), &options)).unwrap();
    let mut writer = writer(&sink);
    let long = "x".repeat(600);
    for _ in 0..5 {
        writer.write_records(&records(&[&long])).unwrap();
    }
    assert!(names(dir.path()).iter().all(|name| name.starts_with('.')));
    assert!(writer.flush().unwrap());
    let wanted = ["part-uid-3-0", "part-uid-3-1", "part-uid-3-2"];
    assert_eq!(names(dir.path()), wanted);
    let sizes = wanted.map(|name| dir.path().join(name).metadata().unwrap().len());
    assert_eq!(sizes, [1202, 1202, 601]);
}

#[test]
fn what_a_line_cannot_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FilesystemSink::new(&table(dir.path(), &[])).unwrap();
    let mut writer = writer(&sink);
    assert!(writer.write_records(&records(&["a\nb"])).is_err());
    let mut delete = records(&["a"]);
    delete.values[0] = None;
    assert!(writer.write_records(&delete).is_err());
    let mut update = records(&["a"]);
    update.ops = vec![2];
    assert!(writer.write_records(&update).is_err());
    writer.flush().unwrap();
    assert!(names(dir.path()).iter().all(|name| name.starts_with('.')));
}

#[test]
fn under_exactly_once_files_are_shown_by_their_checkpoint_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FilesystemSink::new(&table(dir.path(), &[])).unwrap();
    let open = |subtask_index: usize| {
        let context = WriterContext {
            publishes: true,
            subtask_index,
            parallelism: 2,
            statement_uid: "uid".into(),
            transactions: None,
            waker: Waker::default(),
            clock: SystemClock::shared(),
        };
        sink.writer(context).unwrap()
    };
    let mut writers = [open(0), open(1)];
    let mut prepared = Vec::new();
    for writer in &mut writers {
        writer.write_records(&records(&["a"])).unwrap();
        assert!(writer.flush().unwrap());
        prepared.extend(writer.prepared().unwrap());
        assert!(writer.prepared().unwrap().is_empty(), "given once");
    }
    assert_eq!(prepared, ["part-uid-0-0", "part-uid-1-0"]);
    assert!(names(dir.path()).iter().all(|name| name.starts_with('.')));
    sink.publish(&prepared[..1]).unwrap();
    // The process dies here: publishing again goes on where it ended.
    sink.publish(&prepared).unwrap();
    assert_eq!(names(dir.path()), prepared);

    // What no checkpoint names goes with the next start, also that of a subtask that is not there any more.
    for writer in &mut writers {
        writer.write_records(&records(&["b"])).unwrap();
        assert!(writer.flush().unwrap());
    }
    drop(writers);
    drop(open(0));
    assert_eq!(names(dir.path()), prepared);
    let lost = sink.publish(&["part-uid-0-7".to_owned()]).unwrap_err();
    assert!(lost.message.contains("part-uid-0-7"), "{lost}");
}
