//! Bytes of the embedded log that were changed while the server was down.
//!
//! Place in the flow: what a user sees of a bad disk. Invariant: the server starts, says what is damaged, and everything else can still
//! be read and written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::harness::{Weir, wait_for};
use crate::orders::{EmbeddedLog, text};

/// Records of a topic, each in a batch of its own; they go to partitions in turn.
const RECORDS: usize = 400;

/// Partitions of a topic.
const PARTITIONS: usize = 4;

/// How long a statement may take to find the damage, at its first read; the rest is for a loaded machine.
const FAILURE_SECONDS_MAX: u64 = 30;

/// Two topics of the same records, and one to copy to.
const TABLES: &str = "
CREATE TABLE hit (id BIGINT) DISTRIBUTED INTO 4 BUCKETS WITH ('value.format' = 'json');
CREATE TABLE unhurt (id BIGINT) DISTRIBUTED INTO 4 BUCKETS WITH ('value.format' = 'json');
CREATE TABLE copies (id BIGINT) WITH ('value.format' = 'json');
";

/// Appends so many records with the numbers from 0.
fn append(weir: &Weir, topic: &str, count: usize) -> Result<()> {
    let values = (0..count).map(|id| text(&format!("{{\"id\":{id}}}")));
    EmbeddedLog::append(weir, topic, values)
}

/// Writes both topics, ends the server, and hands partition 0's only segment file of one of them to `damage`.
fn damaged(damage: impl FnOnce(&Path) -> Result<()>) -> Result<(TempDir, PathBuf, Weir)> {
    let folder = tempfile::tempdir()?;
    let weir = Weir::up(folder.path(), &[])?;
    weir.sql(TABLES)?;
    append(&weir, "hit", RECORDS)?;
    append(&weir, "unhurt", RECORDS)?;
    drop(weir);
    let partition = folder.path().join("data/log/hit/0");
    let files = fs::read_dir(&partition)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    let [segment] = files.as_slice() else {
        bail!("partition 0 has other files than its segment: {files:?}");
    };
    damage(segment)?;
    let weir = Weir::up(folder.path(), &[])?;
    Ok((folder, segment.clone(), weir))
}

/// How many rows a query of the present records of a topic gives, from offsets on.
fn count(weir: &Weir, topic: &str, offset: Option<usize>) -> Result<usize> {
    let start = offset.map_or_else(String::new, |offset| {
        format!(
            ", 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = \
             'partition:0,offset:{offset};partition:1,offset:0;partition:2,offset:0;partition:3,offset:0'"
        )
    });
    let rows = weir.query(&format!(
        "SELECT id FROM {topic} /*+ OPTIONS('scan.bounded.mode' = 'latest-offset'{start}) */"
    ))?;
    Ok(rows.len())
}

#[test]
fn a_flipped_byte_is_reported_and_all_other_records_are_readable() -> Result<()> {
    let own = RECORDS / PARTITIONS;
    let (_folder, segment, weir) = damaged(|path| {
        let mut bytes = fs::read(path)?;
        // Record `own / 2`, since all records but the first ten are of one length.
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        Ok(fs::write(path, bytes)?)
    })?;
    let name = segment.to_str().context("a path that is no text")?;
    let log = weir.log();
    ensure!(log.contains("damaged") && log.contains(name), "{log}");

    let refused = format!("{:#}", count(&weir, "hit", None).err().context("read")?);
    ensure!(
        refused.contains("WEIR-2003") && refused.contains(name),
        "{refused}"
    );
    // The command itself may see the failure already.
    drop(weir.sql("INSERT INTO copies SELECT id FROM hit;"));
    let detail = wait_for("the statement to fail", FAILURE_SECONDS_MAX, || {
        let statements = weir.list("statement")?;
        let failed = statements.iter().find(|statement| {
            statement["phase"] == "FAILED" && statement["sql_kind"] == "INSERT_INTO"
        });
        Ok(failed.map(|statement| statement["detail"].to_string()))
    })?;
    ensure!(detail.contains("WEIR-2003"), "{detail}");

    ensure!(count(&weir, "unhurt", None)? == RECORDS);
    let behind = own / 2 + 2;
    let others = RECORDS - own;
    ensure!(count(&weir, "hit", Some(behind))? == others + own - behind);
    append(&weir, "hit", PARTITIONS)?;
    ensure!(count(&weir, "hit", Some(behind))? == others + own - behind + PARTITIONS);
    Ok(())
}

#[test]
fn a_segment_that_ends_in_the_middle_of_a_record_goes_on_before_it() -> Result<()> {
    let (_folder, _segment, weir) = damaged(|path| {
        let file = fs::OpenOptions::new().write(true).open(path)?;
        Ok(file.set_len(file.metadata()?.len() - 1)?)
    })?;
    ensure!(count(&weir, "hit", None)? == RECORDS - 1);
    ensure!(count(&weir, "unhurt", None)? == RECORDS);
    append(&weir, "hit", PARTITIONS)?;
    ensure!(count(&weir, "hit", None)? == RECORDS - 1 + PARTITIONS);
    Ok(())
}
