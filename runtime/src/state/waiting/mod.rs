//! Rows that wait for the watermark.
//!
//! Place in the flow: operators that work in the order of event time keep here what came before its turn. Invariant: a row that is due is
//! handed out once; the rows of a key come in the order of their times, those of one time in the order in which they came.
//!
//! Rows lie in buckets of time. A bucket that is over is handed out and dropped whole; of the one in which the watermark lies, the rows that
//! are due are taken out. Buckets are apart as a rule; after a change of the parallelism one may lie within another, and then what a key
//! has in the inner one came before what it has in the outer one, since new rows go into outer ones.

pub mod bucket;
mod due;
mod lists;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::state::waiting::bucket::{Bucket, Width, clamp};
pub use crate::state::waiting::due::DueRows;
use crate::state::waiting::due::Kept;
use crate::state::waiting::lists::{Lists, Row};
use crate::state::{EncodedKeys, Slices, StateConfig, StateTable, Values as _};
use crate::time::EpochMillis;

/// Rows by key and time, until the watermark reaches their time.
///
/// Whether a row is late is the caller's business: here it is due with the next look.
#[derive(Debug)]
pub struct WaitingRows {
    /// Rows by bucket and key.
    slices: Slices<Lists>,
    /// Outermost buckets by start, as they follow from the namespaces.
    buckets: BTreeMap<i64, Nest>,
    /// Namespaces that these are made of.
    known: usize,
    /// How wide the next bucket is.
    width: Width,
    /// Ids of rows, kept for their memory.
    ids: Vec<u32>,
    /// Bucket and place of rows, kept for their memory.
    places: Vec<(i64, usize)>,
    /// The key of a further list, kept for its memory.
    key: Vec<u8>,
    /// The key of a run, kept for its memory.
    run_key: Vec<u8>,
    /// Rows that are put back, kept for their memory.
    kept: Kept,
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

/// A list of rows, by namespace and id.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// The namespace.
    namespace: i64,
    /// The id.
    id: u32,
}

impl WaitingRows {
    /// No rows; `number` tells the tables of an operator apart and never changes.
    pub fn new(number: u8, state: StateConfig) -> Self {
        Self {
            slices: Slices::new(number, state, Box::new(|| Ok(Lists::default()))),
            buckets: BTreeMap::new(),
            known: 0,
            width: Width::default(),
            ids: Vec::new(),
            places: Vec::new(),
            key: Vec::new(),
            run_key: Vec::new(),
            kept: Kept::default(),
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
    /// `Unavailable` when spilled state cannot be read; `Internal` past four billion keys in one bucket.
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
        let (mut start_ms, mut last_ms) = (i64::MAX, i64::MIN);
        for (place, time_ms) in times_ms.iter().enumerate() {
            if *time_ms < start_ms || *time_ms > last_ms {
                (start_ms, last_ms) = self.bucket_of(*time_ms);
            }
            places.push((start_ms, place));
        }
        if !places.is_sorted_by_key(|(start_ms, _)| *start_ms) {
            places.sort_by_key(|(start_ms, _)| *start_ms);
        }
        for run in places.chunk_by(|left, right| left.0 == right.0) {
            self.add_run(run, keys, times_ms, rows)?;
        }
        self.places = places;
        Ok(())
    }

    /// Adds rows of one bucket.
    fn add_run(
        &mut self,
        run: &[(i64, usize)],
        keys: &EncodedKeys,
        times_ms: &[EpochMillis],
        rows: &EncodedKeys,
    ) -> Result<()> {
        let start_ms = run.first().map_or(0, |(start_ms, _)| *start_ms);
        let namespace = self.buckets.get(&start_ms).map_or(0, Nest::outer);
        let places = run.iter().map(|(_, place)| *place);
        let mut ids = std::mem::take(&mut self.ids);
        let lists = self
            .slices
            .upsert_some(namespace, (keys, places.clone()), &mut ids)?;
        let row = |place: usize| Row {
            time_ms: times_ms[place],
            bytes: rows.key(place),
        };
        // Once a list is full it stays so, and its key's rows go on in further ones.
        let mut further = Vec::new();
        for (place, id) in places.zip(&ids) {
            if lists.is_full(*id) {
                further.push(place);
            } else {
                lists.push(*id, row(place));
            }
        }
        self.ids = ids;
        further.into_iter().try_for_each(|place| {
            self.append(namespace, (keys.key(place), keys.hashes[place]), row(place))
        })
    }

    /// Adds a row to the last list of its key.
    fn append(&mut self, namespace: i64, (key, hash): (&[u8], u64), row: Row<'_>) -> Result<()> {
        let key_group = key_group(hash, self.slices.key_groups());
        let (first, lists) = self.list(namespace, (key, key_group))?;
        let mut number = lists.last_number(first);
        if number == 0 && !lists.is_full(first) {
            lists.push(first, row);
            return Ok(());
        }
        if number > 0 {
            let (id, lists) = self.further(namespace, (key, key_group), number)?;
            if !lists.is_full(id) {
                lists.push(id, row);
                return Ok(());
            }
        }
        number += 1;
        let (first, lists) = self.list(namespace, (key, key_group))?;
        lists.set_last_number(first, number);
        let (id, lists) = self.further(namespace, (key, key_group), number)?;
        lists.set_number(id, number);
        lists.push(id, row);
        Ok(())
    }

    /// A further list of a key, about to be changed. No encoding of a key begins another, so a key with a number behind it is none.
    fn further(
        &mut self,
        namespace: i64,
        (key, key_group): (&[u8], u32),
        number: u32,
    ) -> Result<(u32, &mut Lists)> {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.key.extend_from_slice(&number.to_be_bytes());
        let key = std::mem::take(&mut self.key);
        let found = self.slices.upsert_in(namespace, (&key, key_group));
        self.key = key;
        let (id, _) = found?;
        Ok((id, self.lists(namespace)?))
    }

    /// A list, about to be changed.
    fn list(&mut self, namespace: i64, key: (&[u8], u32)) -> Result<(u32, &mut Lists)> {
        let (id, _) = self.slices.upsert_in(namespace, key)?;
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
        let (mut keys, mut start) = (EncodedKeys::default(), 0);
        for (run, end) in all.run_ends.iter().enumerate() {
            for _ in start..*end {
                keys.bytes.extend_from_slice(all.keys.key(run));
                keys.ends.push(keys.bytes.len());
                keys.hashes.push(all.keys.hashes[run]);
            }
            start = *end;
        }
        self.add_rows(&keys, &all.times_ms, &all.rows)?;
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
        let Some(outer) = namespaces.last().copied() else {
            return Ok(false);
        };
        let is_simple = match (namespaces, self.slices.in_memory(outer)) {
            ([_], Some(slice)) => slice.values().are_first(),
            (_, _) => false,
        };
        if !is_simple {
            for members in self.members(namespaces) {
                if self.take_run(&members, outer, goal, out)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let slice = self.slices.in_memory(outer);
        for id in slice.map_or_else(Vec::new, |slice| slice.ids(0, usize::MAX)) {
            let member = Member {
                namespace: outer,
                id,
            };
            if self.take_run(&[member], outer, goal, out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The lists of each key in some namespaces, earlier rows first.
    fn members(&self, namespaces: &[i64]) -> Vec<Vec<Member>> {
        let mut found = Vec::new();
        for (depth, namespace) in namespaces.iter().enumerate() {
            let Some(slice) = self.slices.in_memory(*namespace) else {
                continue;
            };
            for id in slice.ids(0, usize::MAX) {
                let member = Member {
                    namespace: *namespace,
                    id,
                };
                let number = slice.values().number(id);
                found.push((self.key_of(member), depth, number, member));
            }
        }
        found.sort_by_key(|(key, depth, number, _)| (*key, *depth, *number));
        let keys = found.chunk_by(|left, right| left.0 == right.0);
        keys.map(|lists| lists.iter().map(|list| list.3).collect())
            .collect()
    }

    /// The key of a list, without the number of a further one.
    fn key_of(&self, member: Member) -> &[u8] {
        let Some(slice) = self.slices.in_memory(member.namespace) else {
            return &[];
        };
        let key = slice.key(member.id);
        match slice.values().number(member.id) {
            0 => key,
            _ => &key[..key.len().saturating_sub(size_of::<u32>())],
        }
    }

    /// Hands out what is due of a key's lists; true when the limit was reached before.
    fn take_run(
        &mut self,
        members: &[Member],
        outer: i64,
        goal: &Goal,
        out: &mut DueRows,
    ) -> Result<bool> {
        let lists = |member: &Member| {
            let slice = self.slices.in_memory(member.namespace);
            slice.map(|slice| (slice.values(), member.id))
        };
        let mut found = members.iter().filter_map(lists);
        if !found.any(|(lists, id)| lists.has_due(id, goal.watermark_ms)) {
            return Ok(false);
        }
        if out.len() >= goal.limit && !goal.is_whole {
            return Ok(true);
        }
        // The first list of a key has no number behind its key.
        let Some((key, hash)) = members.first().and_then(|member| {
            let slice = self.slices.in_memory(member.namespace)?;
            Some((slice.key(member.id), slice.hash(member.id)))
        }) else {
            return Ok(false);
        };
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        for (lists, id) in members.iter().filter_map(lists) {
            for row in lists.iter(id) {
                if row.time_ms <= goal.watermark_ms {
                    out.push(row);
                } else {
                    kept.push(row);
                }
            }
        }
        let limit = if goal.is_whole {
            usize::MAX
        } else {
            goal.limit.saturating_sub(out.ended())
        };
        out.end_run((key, hash), limit, &mut kept);
        let mut is_cut = false;
        if !goal.is_whole {
            let mut left = kept.ends.iter();
            is_cut = left.any(|(time_ms, _)| *time_ms <= goal.watermark_ms);
            let mut key = std::mem::take(&mut self.run_key);
            key.clear();
            key.extend_from_slice(self.key_of(members[0]));
            self.put_back(members, outer, (&key, hash), &kept)?;
            self.run_key = key;
        }
        self.kept = kept;
        Ok(is_cut)
    }

    /// Makes the lists of a key hold what was kept of them.
    fn put_back(
        &mut self,
        members: &[Member],
        outer: i64,
        key: (&[u8], u64),
        kept: &Kept,
    ) -> Result<()> {
        let mut rows = kept.rows().peekable();
        for member in members {
            let number = self.slices.in_memory(member.namespace);
            let number = number.map_or(0, |slice| slice.values().number(member.id));
            if member.namespace != outer || number > 0 || rows.peek().is_none() {
                self.slices.remove(member.namespace, member.id)?;
                continue;
            }
            if let Some(lists) = self.slices.change(outer, member.id) {
                lists.clear(member.id);
                while !lists.is_full(member.id)
                    && let Some(row) = rows.next()
                {
                    lists.push(member.id, row);
                }
            }
        }
        rows.try_for_each(|row| self.append(outer, key, row))
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
