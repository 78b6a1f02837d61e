//! Rows of one input of an interval join, for as long as rows of the other input may still meet them.
//!
//! Place in the flow: the join adds the rows of its input and looks the other input's rows up; time takes them away. Invariant: a row is
//! there until the moment that is kept with it, which never changes, or until it is marked as gone; a bucket of time is dropped whole
//! once the last of its rows is gone.
//!
//! Rows lie in buckets of time about half as wide as the interval, so that a look-up goes into two or three of them. Each bucket has a
//! table of its own from keys to lists of rows. A list that is full sends the rows behind it to a list of a part of its time, whose key
//! has the number of the part behind it: so a search in a hot key looks only where its times are, and a checkpoint writes only what has
//! changed.
//!
//! Flink has a timer for each key and side: it is set for the moment past the last one of the row that came first, takes away all
//! rows whose last moment has passed, and is set again for the earliest row left. So a row that comes behind a later one of its key may
//! stay past its last moment, up to the timer. When the timer goes off then is when the earliest row goes that is still there, since that
//! is the one the timer was set for, or one that stays as long as the timer: it is looked up for such rows only, and kept with them.
//!
//! # Source
//! Flink 2.3, `TimeIntervalJoin`: one clean-up timer per key and side.

use std::ops::{ControlFlow, Range};

use super::backlog::Arrived;
use super::lists::{Bounds, GONE, Lists, MET, TimedRow, due_ms};
use super::part::{Part, meets, number_of};
use crate::error::{Error, Result};
use crate::state::bucket::{Bucket, LEVEL_MAX};
use crate::state::{EncodedKeys, NOT_HELD, PartitionKey, Slices, StateConfig, StateTable};
use crate::time::EpochMillis;

/// Narrowest bucket of a stream in order: 2^7 ms (guess, unmeasured).
const LEVEL_MIN: u32 = 7;

/// Buckets past which the next ones are twice as wide: what rows far out of order may cost a look-up (guess, unmeasured).
const BUCKETS_WANTED: usize = 16;

/// The rows of an input by key and time.
#[derive(Debug)]
pub(super) struct TimedRows {
    /// Rows by bucket and key.
    slices: Slices<Lists>,
    /// The buckets by start, as they follow from the namespaces.
    buckets: Vec<Bucket>,
    /// How wide buckets are.
    level: u32,
    /// How long past its time a row may be met, milliseconds.
    keep_ms: i64,
    /// Whether rows that have met none are wanted when they go.
    is_outer: bool,
    /// The key of a part, kept for its memory.
    key: Vec<u8>,
    /// Ids of keys, kept for their memory.
    ids: Vec<u32>,
    /// Rows that are looked up in one bucket, kept for their memory.
    places: Vec<usize>,
    /// Lists of later buckets that have the keys of new rows, kept for their memory.
    later: Vec<Hit>,
}

/// A list of the key of a row of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// The row.
    pub(super) row: usize,
    /// The bucket.
    bucket: Bucket,
    /// The id of the list.
    id: u32,
}

/// Where a row lies until rows are moved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its bucket.
    namespace: i64,
    /// Its list.
    id: u32,
    /// Its place there.
    at: usize,
}

/// Rows that time has taken away although they had met none.
#[derive(Debug)]
pub(super) struct Lonely<'a> {
    /// The rows.
    pub(super) rows: &'a mut EncodedKeys,
    /// How many more there is room for.
    pub(super) room: usize,
}

impl Lonely<'_> {
    /// Takes a row that goes.
    pub(super) fn take(&mut self, row: &[u8]) {
        self.rows.bytes.extend_from_slice(row);
        self.rows.ends.push(self.rows.bytes.len());
        self.room = self.room.saturating_sub(1);
    }
}

/// Which rows of a batch are looked up, and what for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// Rows of the batch.
    pub(super) rows: Range<usize>,
    /// For each of them, between which times the rows are that it meets, both included; none when the first is past the second.
    pub(super) ranges_ms: &'a [(EpochMillis, EpochMillis)],
    /// Where the clock of the join stands.
    pub(super) now_ms: EpochMillis,
}

impl TimedRows {
    /// No rows; each is kept for `keep_ms` milliseconds past its time, and meets others within `interval_ms`.
    pub(super) fn new(
        table: u8,
        (keep_ms, interval_ms): (i64, i64),
        is_outer: bool,
        state: StateConfig,
    ) -> Self {
        let half_ms = interval_ms.max(2).cast_unsigned() / 2;
        let level = half_ms.next_power_of_two().ilog2();
        Self {
            slices: Slices::new(table, state, Box::new(move || Ok(Lists::new(keep_ms)))),
            buckets: Vec::new(),
            level: level.clamp(LEVEL_MIN, LEVEL_MAX),
            keep_ms,
            is_outer,
            key: Vec::new(),
            ids: Vec::new(),
            places: Vec::new(),
            later: Vec::new(),
        }
    }

    /// The table of state.
    pub(super) fn table(&mut self) -> &mut dyn StateTable {
        &mut self.slices
    }

    /// Key groups of the statement.
    pub(super) fn key_groups(&self) -> u32 {
        self.slices.key_groups()
    }

    /// The last time whose rows can be met no more when the clock of the join stands at `now_ms`.
    pub(super) fn expired_ms(&self, now_ms: EpochMillis) -> EpochMillis {
        match now_ms {
            EpochMillis::MAX => EpochMillis::MAX,
            now_ms => now_ms.saturating_sub(self.keep_ms).saturating_sub(1),
        }
    }

    /// Whether a row that comes now is kept.
    pub(super) fn keeps(&self, time_ms: EpochMillis, now_ms: EpochMillis) -> bool {
        now_ms < time_ms.saturating_add(self.keep_ms)
    }

    /// Finds the buckets again, when namespaces were restored.
    fn refresh(&mut self) {
        if self.slices.namespaces().len() != self.buckets.len() {
            let buckets = self.slices.namespaces().map(Bucket::from_namespace);
            self.buckets = buckets.collect();
            self.buckets.sort_by_key(|bucket| bucket.start_ms);
        }
    }

    /// The bucket of a time, which is opened with its first key.
    fn bucket_of(&mut self, time_ms: EpochMillis) -> Bucket {
        let range_ms = (time_ms, time_ms);
        let held = self.buckets.iter().rev();
        if let Some(bucket) = held.clone().find(|bucket| meets(**bucket, range_ms)) {
            return *bucket;
        }
        let doublings = u32::try_from(self.buckets.len() / BUCKETS_WANTED).unwrap_or(LEVEL_MAX);
        let mut bucket = Bucket::of(time_ms, self.level.saturating_add(doublings).min(LEVEL_MAX));
        // A bucket that is open may lie within, and then both would have rows of one time.
        let is_within = |outer: Bucket| {
            let range_ms = (outer.start_ms, outer.last_ms());
            held.clone().any(|bucket| meets(*bucket, range_ms))
        };
        while bucket.level > 0 && is_within(bucket) {
            bucket = Bucket::of(time_ms, bucket.level - 1);
        }
        let place = self
            .buckets
            .partition_point(|other| other.start_ms < bucket.start_ms);
        self.buckets.insert(place, bucket);
        bucket
    }

    /// What is known of the rows of a bucket.
    fn bounds(&self, bucket: Bucket) -> Option<Bounds> {
        let namespace = bucket.namespace();
        let bounds = self.slices.values(namespace).map(Lists::bounds)?;
        if self.slices.has_read_all(namespace) {
            return Some(bounds);
        }
        Some(Bounds {
            min_ms: bucket.start_ms,
            max_ms: bucket.last_ms(),
            gone_ms: EpochMillis::MAX,
            lingers_ms: EpochMillis::MAX,
        })
    }

    /// Adds rows of a batch, those at some places ascending; `met` tells whether each row of the batch has met one.
    pub(super) fn add(&mut self, arrived: &Arrived, rows: &[usize], met: &[bool]) -> Result<()> {
        self.refresh();
        let (mut targets, mut opened): (Vec<Hit>, Vec<Bucket>) = (Vec::new(), Vec::new());
        for row in rows {
            let time_ms = arrived.times_ms.value(*row);
            let known = opened
                .iter()
                .find(|bucket| meets(**bucket, (time_ms, time_ms)));
            let bucket = if let Some(bucket) = known {
                *bucket
            } else {
                let bucket = self.bucket_of(time_ms);
                opened.push(bucket);
                bucket
            };
            let (row, id) = (*row, NOT_HELD);
            targets.push(Hit { row, bucket, id });
        }
        let mut ids = std::mem::take(&mut self.ids);
        for bucket in &opened {
            self.places.clear();
            let own = targets.iter().filter(|target| target.bucket == *bucket);
            self.places.extend(own.map(|target| target.row));
            let keys = (&arrived.keys, self.places.iter().copied());
            self.slices
                .upsert_some(bucket.namespace(), keys, &mut ids)?;
            let own = targets.iter_mut().filter(|target| target.bucket == *bucket);
            own.zip(&ids).for_each(|(target, id)| target.id = *id);
        }
        self.ids = ids;
        let mut later = std::mem::take(&mut self.later);
        self.find_later(arrived, (&targets, &opened), &mut later)?;
        let mut left = later.as_slice();
        for target in targets {
            let own = left.iter().take_while(|hit| hit.row <= target.row);
            let (own, behind) = left.split_at(own.count());
            left = behind;
            self.add_row(arrived, target, (own, met[target.row]))?;
        }
        self.later = later;
        Ok(())
    }

    /// Finds the lists of later buckets that have the keys of new rows.
    fn find_later(
        &mut self,
        arrived: &Arrived,
        (targets, opened): (&[Hit], &[Bucket]),
        later: &mut Vec<Hit>,
    ) -> Result<()> {
        later.clear();
        for bucket in opened {
            self.places.clear();
            let own = targets.iter().filter(|target| target.bucket == *bucket);
            self.places.extend(own.map(|target| target.row));
            for at in 0..self.buckets.len() {
                let other = self.buckets[at];
                if other != *bucket && other.last_ms() >= bucket.start_ms {
                    self.find_in(&arrived.keys, other, later)?;
                }
            }
        }
        later.sort_by_key(|hit| hit.row);
        Ok(())
    }

    /// Finds the lists that a bucket has of the keys of the rows at `places`.
    fn find_in(&mut self, keys: &EncodedKeys, bucket: Bucket, hits: &mut Vec<Hit>) -> Result<()> {
        let places = self.places.iter().copied();
        self.slices
            .find_all(bucket.namespace(), (keys, places.clone()), &mut self.ids)?;
        let found = places.zip(&self.ids).filter(|(_, id)| **id != NOT_HELD);
        hits.extend(found.map(|(row, id)| Hit {
            row,
            bucket,
            id: *id,
        }));
        Ok(())
    }

    /// Adds a row to a list; `later` are those of later buckets that have its key.
    fn add_row(
        &mut self,
        arrived: &Arrived,
        target: Hit,
        (later, is_met): (&[Hit], bool),
    ) -> Result<()> {
        let time_ms = arrived.times_ms.value(target.row);
        let is_later = |hit: &Hit| {
            let lists = self.slices.values(hit.bucket.namespace());
            lists.is_some_and(|lists| lists.max_ms(hit.id) > time_ms)
        };
        let mut gone_ms = due_ms(time_ms, self.keep_ms);
        if is_later(&target) || later.iter().any(is_later) {
            let goes_off_ms = self.timer_ms(arrived, target.row)?;
            gone_ms = goes_off_ms.map_or(gone_ms, |goes_off_ms| goes_off_ms.max(gone_ms));
        }
        let row = TimedRow {
            time_ms,
            gone_ms,
            flags: if is_met { MET } else { 0 },
            bytes: arrived.rows.key(target.row),
        };
        let namespace = target.bucket.namespace();
        match self.slices.values_mut(namespace) {
            Some(lists) if !lists.is_full(target.id) => {
                lists.push(target.id, row);
                Ok(())
            }
            _ => self.add_to_part(arrived, target, row),
        }
    }

    /// Adds a row to the list of a part of the time of a list that is full.
    fn add_to_part(&mut self, arrived: &Arrived, target: Hit, row: TimedRow<'_>) -> Result<()> {
        let namespace = target.bucket.namespace();
        let key = arrived.key(target.row, self.slices.key_groups());
        let mut part = target.whole();
        loop {
            let lists = self.slices.values_mut(namespace);
            let lists = lists.ok_or_else(|| Error::internal("a bucket that is open is gone"))?;
            // A millisecond has no parts.
            if !lists.is_full(part.id) || part.time.level == 0 {
                lists.push(part.id, row);
                return Ok(());
            }
            let index = part.index_of(row.time_ms);
            lists.note_part(part.id, index, row.time_ms);
            let time = part.time_of(index);
            self.set_key(key, number_of(time, target.bucket));
            let key = (self.key.as_slice(), key.key_group);
            let (id, _) = self.slices.upsert_in(namespace, key)?;
            part = Part { id, time };
        }
    }

    /// Makes the key of a part. No encoding of a key begins another, so a key with a number behind it is none.
    fn set_key(&mut self, key: PartitionKey<'_>, number: u32) {
        self.key.clear();
        self.key.extend_from_slice(key.bytes);
        self.key.extend_from_slice(&number.to_be_bytes());
    }

    /// When the timer of the key of a row goes off next: when the earliest row of the key goes that is there now; absent without one.
    fn timer_ms(&mut self, arrived: &Arrived, row: usize) -> Result<Option<EpochMillis>> {
        let key = arrived.key(row, self.slices.key_groups());
        let mut earliest: Option<(EpochMillis, EpochMillis)> = None;
        for at in 0..self.buckets.len() {
            let bucket = self.buckets[at];
            if earliest.is_some_and(|(time_ms, _)| time_ms < bucket.start_ms) {
                break;
            }
            let bounds = self.bounds(bucket);
            if bounds.is_none_or(|bounds| bounds.gone_ms <= arrived.now_ms) {
                continue;
            }
            let held = (key.bytes, key.key_group);
            let Some(id) = self.slices.find_in(bucket.namespace(), held)? else {
                continue;
            };
            let hit = Hit { row, bucket, id };
            let before_ms = |earliest: Option<(EpochMillis, EpochMillis)>| {
                earliest.map_or(EpochMillis::MAX, |(time_ms, _)| time_ms)
            };
            let (mut next, mut parts) = (Some(hit.whole()), Vec::new());
            while let Some(part) = next {
                let lists = self.slices.values(bucket.namespace());
                for (_, row) in lists.into_iter().flat_map(|lists| lists.iter(part.id)) {
                    if row.gone_ms > arrived.now_ms && row.time_ms < before_ms(earliest) {
                        earliest = Some((row.time_ms, row.gone_ms));
                    }
                }
                let range_ms = (EpochMillis::MIN, before_ms(earliest));
                self.push_parts((key, hit), part, |time| meets(time, range_ms), &mut parts)?;
                next = parts.pop();
            }
        }
        Ok(earliest.map(|(_, gone_ms)| gone_ms))
    }

    /// Adds the parts of a list whose times are wanted, later ones first.
    fn push_parts(
        &mut self,
        (key, hit): (PartitionKey<'_>, Hit),
        of: Part,
        is_wanted: impl Fn(Bucket) -> bool,
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        let namespace = hit.bucket.namespace();
        let lists = self.slices.values(namespace);
        let bits = lists.map_or(0, |lists| lists.parts(of.id));
        for index in (0..u16::BITS)
            .rev()
            .filter(|index| bits & (1 << index) != 0)
        {
            let time = of.time_of(index);
            if !is_wanted(time) {
                continue;
            }
            self.set_key(key, number_of(time, hit.bucket));
            let key = (self.key.as_slice(), key.key_group);
            let id = self.slices.find_in(namespace, key)?;
            parts.extend(id.map(|id| Part { id, time }));
        }
        Ok(())
    }

    /// Finds the lists of the keys of some rows of a batch that may have rows in their ranges, or rows that are there past their last
    /// moment, which whoever looks them up takes away. By rows, then by time.
    pub(super) fn find(
        &mut self,
        keys: &EncodedKeys,
        wanted: &Wanted<'_>,
        hits: &mut Vec<Hit>,
    ) -> Result<()> {
        self.refresh();
        hits.clear();
        let expired_ms = self.expired_ms(wanted.now_ms);
        for at in 0..self.buckets.len() {
            let bucket = self.buckets[at];
            let Some(bounds) = self.bounds(bucket) else {
                continue;
            };
            let lingers = bounds.lingers_ms > wanted.now_ms && bounds.min_ms <= expired_ms;
            let is_wanted = |(from_ms, to_ms): (EpochMillis, EpochMillis)| {
                let is_met = from_ms <= bounds.max_ms && bounds.min_ms <= to_ms;
                from_ms <= to_ms && (is_met || lingers)
            };
            let rows = wanted.rows.clone().zip(wanted.ranges_ms);
            let rows = rows.filter(|(_, range_ms)| is_wanted(**range_ms));
            self.places.clear();
            self.places.extend(rows.map(|(row, _)| row));
            if !self.places.is_empty() {
                self.find_in(keys, bucket, hits)?;
            }
        }
        hits.sort_by_key(|hit| hit.row);
        Ok(())
    }

    /// Shows the rows of a list that is there at a moment, and of its parts that have times of a range or expired ones.
    pub(super) fn visit(
        &mut self,
        (key, hit): (PartitionKey<'_>, Hit),
        range_ms: (EpochMillis, EpochMillis),
        now_ms: EpochMillis,
        mut visit: impl FnMut(Place, TimedRow<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let namespace = hit.bucket.namespace();
        let expired_ms = (EpochMillis::MIN, self.expired_ms(now_ms));
        let is_wanted = |time: Bucket| meets(time, range_ms) || meets(time, expired_ms);
        let (mut next, mut parts) = (Some(hit.whole()), Vec::new());
        while let Some(part) = next {
            let lists = self.slices.values(namespace);
            for (at, row) in lists.into_iter().flat_map(|lists| lists.iter(part.id)) {
                let place = Place {
                    namespace,
                    id: part.id,
                    at,
                };
                let is_there = row.gone_ms > now_ms && row.flags & GONE == 0;
                if is_there && visit(place, row).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            self.push_parts((key, hit), part, is_wanted, &mut parts)?;
            next = parts.pop();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The row at a place.
    pub(super) fn row(&self, place: Place) -> Option<TimedRow<'_>> {
        self.slices.values(place.namespace)?.row(place.at)
    }

    /// Marks the row at a place.
    pub(super) fn mark(&mut self, place: Place, flag: u8) {
        if let Some(lists) = self.slices.change(place.namespace, place.id) {
            lists.mark(place.at, flag);
        }
    }

    /// When something is to be done next, or earlier; absent without rows.
    pub(super) fn next_due_ms(&self) -> Option<EpochMillis> {
        let buckets = self.slices.namespaces().map(Bucket::from_namespace);
        buckets.map(|bucket| self.due_ms(bucket)).min()
    }

    /// When something is to be done about a bucket, or earlier.
    fn due_ms(&self, bucket: Bucket) -> EpochMillis {
        let namespace = bucket.namespace();
        let Some(lists) = self.slices.values(namespace) else {
            return EpochMillis::MAX;
        };
        if !self.slices.has_read_all(namespace) {
            return due_ms(bucket.start_ms, self.keep_ms);
        }
        let gone_ms = lists.bounds().gone_ms;
        if self.is_outer {
            gone_ms.min(lists.first_due_ms())
        } else {
            gone_ms
        }
    }

    /// Takes away what goes, as long as there is room for rows that have met none; true when some are left.
    pub(super) fn expire(&mut self, now_ms: EpochMillis, lonely: &mut Lonely<'_>) -> Result<bool> {
        self.refresh();
        for bucket in self.buckets.clone() {
            if self.due_ms(bucket) > now_ms {
                continue;
            }
            let namespace = bucket.namespace();
            if (self.is_outer || !self.slices.has_read_all(namespace))
                && self.slices.slice(namespace)?.is_none()
            {
                continue;
            }
            if self.is_outer && self.take_lonely(namespace, now_ms, lonely) {
                return Ok(true);
            }
            let bounds = self.bounds(bucket);
            if bounds.is_some_and(|bounds| bounds.gone_ms <= now_ms) {
                self.slices.drop_slice(namespace)?;
                self.buckets.retain(|other| *other != bucket);
            }
        }
        Ok(false)
    }

    /// Takes away rows of a bucket that have met none; true when there is no room for all.
    fn take_lonely(
        &mut self,
        namespace: i64,
        now_ms: EpochMillis,
        lonely: &mut Lonely<'_>,
    ) -> bool {
        loop {
            if lonely.room == 0 {
                return true;
            }
            let lists = self.slices.values_mut(namespace);
            let Some((id, at)) = lists.and_then(|lists| lists.next_due(now_ms)) else {
                return false;
            };
            let place = Place { namespace, id, at };
            if let Some(row) = self.row(place) {
                lonely.take(row.bytes);
            }
            self.mark(place, GONE);
        }
    }
}

impl Hit {
    /// The list with all its time.
    fn whole(self) -> Part {
        Part {
            id: self.id,
            time: self.bucket,
        }
    }
}
