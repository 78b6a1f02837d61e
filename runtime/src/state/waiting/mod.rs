//! Rows that wait for the watermark.
//!
//! Place in the flow: operators that work in the order of event time keep here what came before its turn. Invariant: a row that is due is
//! handed out once; the rows of a key come in the order of their times from call to call, and those of one time in the order in which they
//! came. Within a call, times are mixed.
//!
//! Rows lie in buckets of time, and there in lists: those of a key group one behind the other, whatever their keys, so that a row costs no
//! look-up. A bucket that is over is handed out and dropped whole; of the one in which the watermark lies, the rows that are due are taken
//! out of the lists. Buckets are apart as a rule; after a change of the parallelism one may lie within another, and then what a key
//! has in the inner one came before what it has in the outer one, since new rows go into outer ones.

pub mod bucket;
mod due;
mod lists;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::state::waiting::bucket::{Bucket, Width, clamp};
pub use crate::state::waiting::due::DueRows;
use crate::state::waiting::lists::{Lists, Row};
use crate::state::{EncodedKeys, Slices, StateConfig, StateTable};
use crate::time::EpochMillis;

/// Which share of the rows of one key group that are due may go past the limit, so that taking them out in turns does not cost the square
/// of their number (guess).
const TURNS_PER_KEY_GROUP: usize = 8;

/// Bytes of the key of a list: key group and number.
const LIST_KEY_BYTES: usize = 8;

/// Buckets that are remembered while rows are added (guess, unmeasured: rows out of order within a second lie in as many).
const RECENT_BUCKETS: usize = 8;

/// Rows by time, until the watermark reaches their time.
///
/// Whether a row is late is the caller's business: here it is due with the next look.
#[derive(Debug)]
pub struct WaitingRows {
    /// Rows by bucket, key group and number of the list.
    slices: Slices<Lists>,
    /// Outermost buckets by start, as they follow from the namespaces.
    buckets: BTreeMap<i64, Nest>,
    /// Namespaces that these are made of.
    known: usize,
    /// How wide the next bucket is.
    width: Width,
    /// Rows that are added, kept for their memory.
    places: Vec<Place>,
    /// Rows of a key group with more than there is room for, kept for their memory.
    found: Vec<Found>,
}

/// A bucket, and those within it.
#[derive(Debug)]
struct Nest {
    /// The last millisecond.
    last_ms: i64,
    /// Namespaces, inner ones first.
    namespaces: Vec<i64>,
}

impl Nest {
    /// The namespace that takes new rows.
    fn outer(&self) -> i64 {
        self.namespaces.last().copied().unwrap_or_default()
    }
}

/// Where a row of a batch goes.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The start of the bucket.
    start_ms: i64,
    /// The key group.
    key_group: u32,
    /// The row.
    row: u32,
}

impl Place {
    /// By bucket, key group and row, as one number: it compares without a branch.
    fn order(&self) -> u128 {
        let start = self.start_ms.cast_unsigned() ^ (1 << 63);
        u128::from(start) << 64 | u128::from(self.key_group) << 32 | u128::from(self.row)
    }
}

/// A list of rows, in the order in which those of a nest came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    /// The key group.
    key_group: u32,
    /// Place of its namespace in the nest.
    depth: usize,
    /// Its number among those of the key group in the namespace.
    number: u32,
    /// The namespace.
    namespace: i64,
    /// The id.
    id: u32,
}

/// A row of a key group that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Its time.
    time_ms: i64,
    /// Its list among those of the key group.
    member: usize,
    /// Its place there.
    place: usize,
}

impl WaitingRows {
    /// No rows; `number` tells the tables of an operator apart and never changes.
    pub fn new(number: u8, state: StateConfig) -> Self {
        Self {
            slices: Slices::new(number, state, Box::new(|| Ok(Lists::default()))),
            buckets: BTreeMap::new(),
            known: 0,
            width: Width::default(),
            places: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The table of state.
    pub fn table(&mut self) -> &mut dyn StateTable {
        &mut self.slices
    }

    /// Whether no row waits.
    pub fn is_empty(&self) -> bool {
        self.slices.keys() == 0
    }

    /// Finds the outermost buckets again, when namespaces were restored.
    fn refresh(&mut self) {
        if self.slices.namespaces().len() == self.known {
            return;
        }
        let mut buckets: Vec<Bucket> = self
            .slices
            .namespaces()
            .map(Bucket::from_namespace)
            .collect();
        self.known = buckets.len();
        self.buckets.clear();
        // Outer ones first; namespaces of a nest are turned around below.
        buckets.sort_by_key(|bucket| (bucket.start_ms, -bucket.last_ms()));
        for bucket in buckets {
            let last = self.buckets.last_entry();
            match last.filter(|nest| nest.get().last_ms >= bucket.last_ms()) {
                Some(mut nest) => nest.get_mut().namespaces.push(bucket.namespace()),
                None => self.note(bucket),
            }
        }
        for nest in self.buckets.values_mut() {
            nest.namespaces.sort_by_key(|namespace| {
                let bucket = Bucket::from_namespace(*namespace);
                bucket.last_ms() - bucket.start_ms
            });
        }
    }

    /// Notes an outermost bucket.
    fn note(&mut self, bucket: Bucket) {
        let nest = Nest {
            last_ms: bucket.last_ms(),
            namespaces: vec![bucket.namespace()],
        };
        self.buckets.insert(bucket.start_ms, nest);
    }

    /// The start of the bucket of a time, and its last millisecond. It is opened if needed.
    fn bucket_of(&mut self, time_ms: i64) -> (i64, i64) {
        let time_ms = clamp(time_ms);
        let before = self.buckets.range(..=time_ms).next_back();
        if let Some((start_ms, nest)) = before.filter(|(_, nest)| nest.last_ms >= time_ms) {
            return (*start_ms, nest.last_ms);
        }
        self.width.next();
        let mut level = self.width.level;
        let mut bucket = Bucket::of(time_ms, level);
        // A bucket that is open may lie within, and then both would hold rows of one time.
        while level > 0
            && let Some(_) = self
                .buckets
                .range(bucket.start_ms..=bucket.last_ms())
                .next()
        {
            level -= 1;
            bucket = Bucket::of(time_ms, level);
        }
        self.note(bucket);
        self.known += 1;
        (bucket.start_ms, bucket.last_ms())
    }

    /// Adds rows. The hashes of the keys lead to their key groups.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read; `Internal` past four billion lists in one bucket.
    pub fn add(
        &mut self,
        keys: &EncodedKeys,
        times_ms: &[EpochMillis],
        rows: &EncodedKeys,
    ) -> Result<()> {
        self.refresh();
        self.width.add(keys.len());
        self.add_rows(keys, times_ms, rows)
    }

    /// Adds rows that are counted.
    fn add_rows(
        &mut self,
        keys: &EncodedKeys,
        times_ms: &[EpochMillis],
        rows: &EncodedKeys,
    ) -> Result<()> {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        // Start and last millisecond of buckets that rows went into.
        let (mut recent, mut next) = ([(i64::MAX, i64::MIN); RECENT_BUCKETS], 0);
        let key_groups = self.slices.key_groups();
        for ((row, time_ms), hash) in (0..).zip(times_ms).zip(&keys.hashes) {
            let at_ms = clamp(*time_ms);
            let is_in = |(start_ms, last_ms): &&(i64, i64)| *start_ms <= at_ms && at_ms <= *last_ms;
            let start_ms = if let Some((start_ms, _)) = recent.iter().find(is_in) {
                *start_ms
            } else {
                next = (next + 1) % RECENT_BUCKETS;
                recent[next] = self.bucket_of(at_ms);
                recent[next].0
            };
            places.push(Place {
                start_ms,
                key_group: key_group(*hash, key_groups),
                row,
            });
        }
        places.sort_unstable_by_key(Place::order);
        let is_one_list = |left: &Place, right: &Place| {
            (left.start_ms, left.key_group) == (right.start_ms, right.key_group)
        };
        for places in places.chunk_by(is_one_list) {
            let first = places[0];
            let namespace = self.buckets.get(&first.start_ms).map_or(0, Nest::outer);
            let rows = places.iter().map(|place| Row {
                time_ms: times_ms[place.row as usize],
                key: keys.key(place.row as usize),
                bytes: rows.key(place.row as usize),
            });
            self.add_to((namespace, first.key_group), rows)?;
        }
        self.places = places;
        Ok(())
    }

    /// Adds rows to the last list of their key group in a namespace, and to further ones.
    fn add_to<'a>(
        &mut self,
        (namespace, key_group): (i64, u32),
        rows: impl Iterator<Item = Row<'a>>,
    ) -> Result<()> {
        let (first, lists) = self.list(namespace, (key_group, 0))?;
        let mut number = lists.last_number(first);
        let mut id = first;
        if number > 0 {
            (id, _) = self.list(namespace, (key_group, number))?;
        }
        let mut rows = rows.peekable();
        loop {
            let lists = self.lists(namespace)?;
            while !lists.is_full(id) {
                let Some(row) = rows.next() else {
                    return Ok(());
                };
                lists.push(id, row);
            }
            if rows.peek().is_none() {
                return Ok(());
            }
            number += 1;
            lists.set_last_number(first, number);
            (id, _) = self.list(namespace, (key_group, number))?;
        }
    }

    /// A list by key group and number, about to be changed.
    fn list(
        &mut self,
        namespace: i64,
        (key_group, number): (u32, u32),
    ) -> Result<(u32, &mut Lists)> {
        let mut key = [0; LIST_KEY_BYTES];
        key[..4].copy_from_slice(&key_group.to_be_bytes());
        key[4..].copy_from_slice(&number.to_be_bytes());
        let (id, _) = self.slices.upsert_in(namespace, (&key, key_group))?;
        Ok((id, self.lists(namespace)?))
    }

    /// The lists of a namespace that was just written.
    fn lists(&mut self, namespace: i64) -> Result<&mut Lists> {
        let lists = self.slices.values_mut(namespace);
        lists.ok_or_else(|| Error::internal("a bucket that is open has no lists"))
    }

    /// Hands out rows that are due, about `limit`; true when more are left, which the next call hands out. Rows of `out` are forgotten.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn due(
        &mut self,
        watermark_ms: EpochMillis,
        limit: usize,
        out: &mut DueRows,
    ) -> Result<bool> {
        out.clear();
        self.refresh();
        while let Some((start_ms, nest)) = self.buckets.first_key_value() {
            let start_ms = *start_ms;
            if start_ms > watermark_ms {
                return Ok(false);
            }
            if out.len() >= limit {
                return Ok(true);
            }
            let is_over = nest.last_ms <= watermark_ms;
            let namespaces = nest.namespaces.clone();
            let mut rows = 0;
            for namespace in &namespaces {
                let slice = self.slices.slice(*namespace)?;
                rows += slice.map_or(0, |slice| slice.values().rows());
            }
            if !is_over && self.split(start_ms, &namespaces, rows)? {
                continue;
            }
            let goal = Goal {
                watermark_ms,
                limit,
                // Taking lists out costs more than dropping them.
                is_whole: is_over && rows <= limit,
            };
            if self.take_bucket(&namespaces, &goal, out)? {
                return Ok(true);
            }
            if !is_over {
                return Ok(false);
            }
            self.drop_bucket(start_ms, &namespaces)?;
        }
        Ok(false)
    }

    /// Up to which time the rows of the first bucket are due; absent when it begins later. All rows of a time are in one bucket.
    pub fn next_due_ms(&mut self, watermark_ms: EpochMillis) -> Option<EpochMillis> {
        self.refresh();
        let (start_ms, nest) = self.buckets.first_key_value()?;
        (*start_ms <= watermark_ms).then(|| nest.last_ms.min(watermark_ms))
    }

    /// The earliest time of the rows.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn first_ms(&mut self) -> Result<Option<EpochMillis>> {
        self.refresh();
        let mut first_ms = None;
        for nest in self.buckets.values() {
            for namespace in &nest.namespaces {
                let Some(slice) = self.slices.slice(*namespace)? else {
                    continue;
                };
                let times = slice.ids(0, usize::MAX).into_iter();
                let times = times.filter_map(|id| slice.values().first_ms(id));
                first_ms = times.chain(first_ms).min();
            }
            if first_ms.is_some() {
                break;
            }
        }
        Ok(first_ms)
    }

    /// Makes narrower buckets of one with very many rows, as each watermark within it looks at all of them; whether it did.
    fn split(&mut self, start_ms: i64, namespaces: &[i64], rows: usize) -> Result<bool> {
        let outer = namespaces.last().copied().unwrap_or_default();
        if !self.width.narrow(Bucket::from_namespace(outer), rows) {
            return Ok(false);
        }
        let goal = Goal {
            watermark_ms: i64::MAX,
            limit: usize::MAX,
            is_whole: true,
        };
        let mut all = DueRows::default();
        self.take_bucket(namespaces, &goal, &mut all)?;
        self.drop_bucket(start_ms, namespaces)?;
        self.add_rows(&all.keys, &all.times_ms, &all.rows)?;
        Ok(true)
    }

    /// Drops a bucket.
    fn drop_bucket(&mut self, start_ms: i64, namespaces: &[i64]) -> Result<()> {
        for namespace in namespaces {
            self.slices.drop_slice(*namespace)?;
        }
        self.buckets.remove(&start_ms);
        self.known = self.slices.namespaces().len();
        Ok(())
    }

    /// Hands out what is due of a bucket; true when the limit is reached before.
    fn take_bucket(&mut self, namespaces: &[i64], goal: &Goal, out: &mut DueRows) -> Result<bool> {
        let members = self.members(namespaces);
        for members in members.chunk_by(|left, right| left.key_group == right.key_group) {
            if self.take_key_group(members, goal, out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The lists of some namespaces by key group, earlier rows first.
    fn members(&self, namespaces: &[i64]) -> Vec<Member> {
        let mut members = Vec::new();
        for (depth, namespace) in namespaces.iter().enumerate() {
            let Some(slice) = self.slices.in_memory(*namespace) else {
                continue;
            };
            members.extend(slice.ids_from(0).map(|id| {
                let number = slice.key(id).last_chunk().copied();
                Member {
                    key_group: slice.key_group(id),
                    depth,
                    number: number.map_or(0, u32::from_be_bytes),
                    namespace: *namespace,
                    id,
                }
            }));
        }
        members.sort_unstable();
        members
    }

    /// Hands out what is due of a key group's lists; true when the limit was reached before.
    fn take_key_group(
        &mut self,
        members: &[Member],
        goal: &Goal,
        out: &mut DueRows,
    ) -> Result<bool> {
        let (mut rows, mut is_due) = (0, false);
        for Member { namespace, id, .. } in members {
            let Some(slice) = self.slices.in_memory(*namespace) else {
                continue;
            };
            rows += slice.values().len(*id);
            is_due |= slice.values().has_due(*id, goal.watermark_ms);
            if goal.is_whole {
                slice.values().iter(*id).for_each(|(_, row)| out.push(row));
            }
        }
        if !is_due || goal.is_whole {
            return Ok(false);
        }
        let room = goal.limit.saturating_sub(out.len());
        if room == 0 {
            return Ok(true);
        }
        if rows > room {
            return self.take_first(members, (goal.watermark_ms, room), out);
        }
        self.retain(members, goal.watermark_ms, |_, row| {
            let is_kept = row.time_ms > goal.watermark_ms;
            if !is_kept {
                out.push(row);
            }
            is_kept
        })?;
        Ok(false)
    }

    /// Hands out the first rows of a key group's lists that are due, about `room` of them; whether there are more.
    fn take_first(
        &mut self,
        members: &[Member],
        (watermark_ms, room): (i64, usize),
        out: &mut DueRows,
    ) -> Result<bool> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        for (number, member) in members.iter().enumerate() {
            let slice = self.slices.in_memory(member.namespace);
            let rows = slice
                .iter()
                .flat_map(|slice| slice.values().iter(member.id));
            let rows = rows.filter(|(_, row)| row.time_ms <= watermark_ms);
            found.extend(rows.map(|(place, row)| Found {
                time_ms: row.time_ms,
                member: number,
                place,
            }));
        }
        found.sort_unstable();
        let room = room.max(found.len() / TURNS_PER_KEY_GROUP);
        for row in found.iter().take(room) {
            let Member { namespace, id, .. } = members[row.member];
            let slice = self.slices.in_memory(namespace);
            if let Some(row) = slice.and_then(|slice| slice.values().row(id, row.place)) {
                out.push(row);
            }
        }
        let end = found.get(room).copied();
        self.retain(
            members,
            watermark_ms,
            |row, Row { time_ms, .. }| match end {
                Some(end) => row >= end,
                None => time_ms > watermark_ms,
            },
        )?;
        self.found = found;
        Ok(end.is_some())
    }

    /// Takes rows of a key group out of those of its lists in which some are due, but for those that `is_kept` wants.
    fn retain(
        &mut self,
        members: &[Member],
        watermark_ms: i64,
        mut is_kept: impl FnMut(Found, Row<'_>) -> bool,
    ) -> Result<()> {
        for (number, member) in members.iter().enumerate() {
            let slice = self.slices.in_memory(member.namespace);
            if slice.is_some_and(|slice| slice.values().has_due(member.id, watermark_ms))
                && let Some(lists) = self.slices.change(member.namespace, member.id)
            {
                lists.retain(member.id, |place, row| {
                    let found = Found {
                        time_ms: row.time_ms,
                        member: number,
                        place,
                    };
                    is_kept(found, row)
                });
            }
        }
        // A first list stays as long as there are others, since it has the number of the last one.
        let mut further = None;
        for member in members.iter().rev() {
            let Some(slice) = self.slices.in_memory(member.namespace) else {
                continue;
            };
            let is_empty = slice.values().len(member.id) == 0;
            if is_empty && (member.number > 0 || further != Some(member.namespace)) {
                self.slices.remove(member.namespace, member.id)?;
            } else if member.number > 0 {
                further = Some(member.namespace);
            }
        }
        Ok(())
    }
}

/// What of a bucket is wanted.
#[derive(Debug)]
struct Goal {
    /// Rows up to this time.
    watermark_ms: i64,
    /// About as many rows.
    limit: usize,
    /// All rows of the bucket, which is dropped then.
    is_whole: bool,
}

#[cfg(test)]
mod tests;
