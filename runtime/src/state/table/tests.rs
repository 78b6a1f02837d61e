//! Tables against a plain map: snapshots written bit by bit while the tables change, with keys spilled and handed over at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::checkpoint::entry::Place;
use crate::state::backend::{SpillBatch, SpillSpace, StateBackend, Visit};
use crate::state::codec::{Reader, Writer};
use crate::state::keyed::hash_in;
use crate::state::{FjallSpace, Slices};

/// A number per key.
#[derive(Debug, Default)]
struct Numbers(Vec<i64>);

impl Values for Numbers {
    fn resize(&mut self, len: usize) {
        self.0.resize(len, 0);
    }

    fn clear(&mut self, id: u32) {
        self.0[id as usize] = 0;
    }

    fn reset(&mut self) -> bool {
        self.0.clear();
        true
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.0[id as usize]);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.0[id as usize] = input.i64()?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

/// A spill space in memory.
#[derive(Debug, Default)]
struct MemorySpace;

/// Its tables.
#[derive(Debug, Default)]
struct MemoryBackend(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl SpillSpace for MemorySpace {
    fn open(&self, _name: &str) -> Result<Box<dyn StateBackend>> {
        Ok(Box::new(MemoryBackend::default()))
    }
}

impl StateBackend for MemoryBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn put_all(&mut self, batch: &mut SpillBatch) -> Result<()> {
        let mut all = self.0.lock().unwrap();
        all.extend(
            batch
                .sorted()
                .map(|(key, value)| (key.into(), value.into())),
        );
        batch.clear();
        Ok(())
    }

    fn batch_bytes(&self) -> usize {
        1
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        let all = self.0.lock().unwrap().clone();
        all.iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .try_for_each(|(key, value)| visit(key, value))
    }
}

/// Key groups of these tests.
const KEY_GROUPS: u32 = 8;

/// What happens to a table.
#[derive(Debug, Clone)]
enum Step {
    /// A key grows.
    Add(u8, i64),
    /// A key goes.
    Remove(u8),
    /// A key is looked at.
    Find(u8),
    /// Cold keys leave memory.
    Evict(usize),
    /// Memory is given back.
    Shrink(usize),
    /// A barrier; the snapshot before is completed first.
    Barrier,
    /// The snapshot goes on.
    Write(usize),
    /// After a barrier and its snapshot, other slots have the keys.
    Rescale(usize),
    /// Some keys of the slots before are copied.
    TakeOver(usize),
}

/// Any step.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..24, 1i64..100).prop_map(|(key, by)| Step::Add(key, by)),
        3 => (0u8..24).prop_map(Step::Remove),
        1 => (0u8..24).prop_map(Step::Find),
        2 => (1usize..12).prop_map(Step::Evict),
        2 => (0usize..400).prop_map(Step::Shrink),
        2 => Just(Step::Barrier),
        3 => (1usize..5).prop_map(Step::Write),
        1 => (1usize..4).prop_map(Step::Rescale),
        2 => (1usize..12).prop_map(Step::TakeOver),
    ]
}

/// The key group of a key: one of a part of it, as in joins.
fn key_group(key: u8) -> u32 {
    u32::from(key / 2) % KEY_GROUPS
}

/// A checkpoint as a plain map, by key.
type Stored = BTreeMap<Vec<u8>, i64>;

/// Applies a snapshot to a checkpoint.
fn apply(stored: &mut Stored, deltas: Deltas) {
    for delta in deltas.into_groups() {
        let mut input = Reader::new(&delta.entries);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            match entry {
                Entry::Put { key, value, .. } => {
                    assert_eq!(key_group(key[0]), delta.key_group);
                    stored.insert(key.into(), Reader::new(value).i64().unwrap());
                }
                Entry::Delete { key, .. } => {
                    stored.remove(key);
                }
                Entry::Drop { .. } => panic!("no namespaces here"),
            }
        }
    }
}

/// The table of each slot, and what they must hold together.
struct Checked {
    /// The tables.
    tables: Vec<KeyedTable<Numbers>>,
    /// What they must hold.
    model: BTreeMap<u8, i64>,
    /// What they held at the barrier whose snapshot is being written.
    frozen: Option<BTreeMap<u8, i64>>,
    /// All snapshots together.
    stored: Stored,
}

/// An empty table that may spill.
fn spilling() -> KeyedTable<Numbers> {
    let config = StateConfig {
        spill: Some(Arc::new(MemorySpace)),
        ..StateConfig::in_memory("test", KEY_GROUPS)
    };
    KeyedTable::new(1, Numbers::default(), config)
}

/// The slot that has the keys of a key group.
fn owner(key_group: u32, slots: usize) -> usize {
    key_group as usize * slots / KEY_GROUPS as usize
}

impl Checked {
    /// One empty table.
    fn new() -> Self {
        Self {
            tables: vec![spilling()],
            model: BTreeMap::new(),
            frozen: None,
            stored: Stored::new(),
        }
    }

    /// The table that has a key.
    fn table(&mut self, key: u8) -> &mut KeyedTable<Numbers> {
        let slots = self.tables.len();
        &mut self.tables[owner(key_group(key), slots)]
    }

    /// A barrier, once the snapshot before is complete.
    fn freeze(&mut self) {
        self.complete();
        self.tables.iter_mut().for_each(StateTable::freeze);
        self.frozen = Some(self.model.clone());
    }

    /// Completes the snapshot being written and compares it with what the tables held at its barrier.
    fn complete(&mut self) {
        let Some(frozen) = self.frozen.take() else {
            return;
        };
        for table in &mut self.tables {
            while !table.write_frozen(1).unwrap() {}
            let mut deltas = Deltas::default();
            table.take_snapshot(&mut deltas);
            apply(&mut self.stored, deltas);
        }
        let expected: Stored = frozen
            .iter()
            .map(|(key, value)| (vec![*key], *value))
            .collect();
        assert_eq!(self.stored, expected);
    }

    /// Gives the keys to other slots, as a deployment does.
    fn rescale(&mut self, slots: usize) {
        self.freeze();
        self.complete();
        let before = std::mem::take(&mut self.tables);
        self.tables = (0..slots).map(|_| spilling()).collect();
        for mut table in before {
            let Some(handed) = table.hand_over() else {
                let load = &mut |key_group: u32, entry: &Entry<'_>| {
                    self.tables[owner(key_group, slots)].load(key_group, entry)
                };
                table.export(load).unwrap();
                continue;
            };
            assert_eq!(table.keys(), 0);
            for (slot, table) in self.tables.iter_mut().enumerate() {
                let owns = |key_group| owner(key_group, slots) == slot;
                table.take_over(&handed, &owns).unwrap();
            }
        }
    }

    /// Does a step.
    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(key, by) => {
                let is_known = self.model.contains_key(key);
                let table = self.table(*key);
                let (id, is_new) = table.upsert_in(&[*key], key_group(*key), 0).unwrap();
                assert_eq!(is_new, !is_known);
                table.values_mut().0[id as usize] += by;
                *self.model.entry(*key).or_default() += by;
            }
            Step::Remove(key) => {
                let table = self.table(*key);
                if let Some(id) = table.find_in(&[*key], key_group(*key), 0).unwrap() {
                    table.remove(id).unwrap();
                }
                self.model.remove(key);
            }
            Step::Find(key) => {
                let table = self.table(*key);
                let found = table.find_in(&[*key], key_group(*key), 0).unwrap();
                let found = found.map(|id| table.values().0[id as usize]);
                assert_eq!(found, self.model.get(key).copied());
            }
            Step::Evict(count) => {
                for table in &mut self.tables {
                    table.keyed.evict(&mut table.common, *count).unwrap();
                }
            }
            Step::Shrink(limit_bytes) => {
                for table in &mut self.tables {
                    table.shrink(*limit_bytes).unwrap();
                }
            }
            Step::Barrier => self.freeze(),
            Step::Write(limit) => {
                for table in &mut self.tables {
                    table.write_frozen(*limit).unwrap();
                }
            }
            Step::Rescale(slots) => self.rescale(*slots),
            Step::TakeOver(limit) => {
                for table in &mut self.tables {
                    table.take_over_some(*limit).unwrap();
                }
            }
        }
        let keys: usize = self.tables.iter().map(StateTable::keys).sum();
        assert_eq!(keys, self.model.len());
    }
}

proptest! {
    /// Every snapshot is what the table held at its barrier, and all that is exported is what it holds.
    #[test]
    fn snapshots_are_of_their_barrier(steps in prop::collection::vec(step(), 1..200)) {
        let mut checked = Checked::new();
        for step in &steps {
            checked.step(step);
        }
        let mut exported = BTreeMap::new();
        for table in &checked.tables {
            table.export(&mut |key_group, entry| {
                if let Entry::Put { key, value, .. } = entry {
                    assert_eq!(self::key_group(key[0]), key_group);
                    exported.insert(key[0], Reader::new(value).i64()?);
                }
                Ok(())
            }).unwrap();
        }
        prop_assert_eq!(&exported, &checked.model);
        checked.complete();
    }
}

#[test]
fn a_key_that_was_not_written_for_the_ttl_is_forgotten() {
    let config = StateConfig {
        ttl_ms: Some(10),
        ..StateConfig::in_memory("test", KEY_GROUPS)
    };
    let mut table = KeyedTable::new(0, Numbers::default(), config.clone());
    let mut add = |now_ms| {
        let (id, is_new) = table.upsert_in(b"k", 0, now_ms).unwrap();
        table.values_mut().0[id as usize] += 1;
        (table.values().0[id as usize], is_new)
    };
    assert_eq!(add(0), (1, true));
    assert_eq!(add(9), (2, false));
    assert_eq!(add(18), (3, false));
    assert_eq!(add(28), (1, true));
    assert_eq!(table.find_in(b"k", 0, 37).unwrap(), Some(0));
    assert_eq!(table.find_in(b"k", 0, 38).unwrap(), None);
    table.freeze();
    assert!(table.write_frozen(10).unwrap());
    let mut deltas = Deltas::default();
    table.take_snapshot(&mut deltas);
    table.expire(38).unwrap();
    assert_eq!(table.keys(), 0);
    // A table without a TTL reads what one with a TTL wrote.
    let mut restored = KeyedTable::new(0, Numbers::default(), StateConfig::in_memory("t", 8));
    for delta in deltas.into_groups() {
        let mut input = Reader::new(&delta.entries);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            restored.load(delta.key_group, &entry).unwrap();
        }
    }
    let id = restored.find_in(b"k", 0, 0).unwrap().unwrap();
    assert_eq!(restored.values().0[id as usize], 1);
}

#[test]
fn namespaces_are_handed_over_and_their_keys_are_all_there_when_they_are_read() {
    let make = || Box::new(|| Ok(Numbers::default()));
    let slices = || Slices::new(2, StateConfig::in_memory("test", KEY_GROUPS), make());
    let keys = |numbers: &[u8]| EncodedKeys {
        bytes: numbers.to_vec(),
        ends: (1..=numbers.len()).collect(),
        hashes: numbers
            .iter()
            .map(|number| hash_in(&[*number], key_group(*number), KEY_GROUPS))
            .collect(),
    };
    let all: Vec<u8> = (0..16).collect();
    let mut ids = Vec::new();
    let mut tables = vec![slices()];
    for namespace in [10, 20] {
        let values = tables[0].upsert(namespace, &keys(&all), &mut ids).unwrap();
        for (key, id) in all.iter().zip(&ids) {
            values.0[*id as usize] = i64::from(*key) + namespace;
        }
    }
    for slots in [3, 2] {
        for table in &mut tables {
            table.freeze();
            while !table.write_frozen(usize::MAX).unwrap() {}
        }
        let handed: Vec<_> = tables.iter_mut().map(StateTable::hand_over).collect();
        tables = (0..slots).map(|_| slices()).collect();
        for (slot, table) in tables.iter_mut().enumerate() {
            for handed in handed.iter().flatten() {
                let owns = |key_group| owner(key_group, slots) == slot;
                table.take_over(handed, &owns).unwrap();
            }
            table.take_over_some(3).unwrap();
            assert!(table.handed_keys() > 0);
        }
        assert_eq!(tables.iter().map(StateTable::keys).sum::<usize>(), 32);
    }
    let mut found = Vec::new();
    for table in &mut tables {
        assert_eq!(table.first(), Some(10));
        table.drop_slice(10).unwrap();
        let slice = table.slice(20).unwrap().unwrap();
        for id in slice.ids(0, 100) {
            found.push((slice.key(id)[0], slice.values().0[id as usize]));
        }
        table.drop_slice(20).unwrap();
        assert_eq!((table.keys(), table.handed_keys()), (0, 0));
        // Both are in the checkpoint, and a drop per namespace and key group that is owned takes them out again.
        table.freeze();
        while !table.write_frozen(usize::MAX).unwrap() {}
        let mut deltas = Deltas::default();
        table.take_snapshot(&mut deltas);
        let groups = deltas.into_groups();
        assert_eq!(groups.len(), KEY_GROUPS as usize / 2);
    }
    found.sort_unstable();
    let expected: Vec<(u8, i64)> = all.iter().map(|key| (*key, i64::from(*key) + 20)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_batch_is_looked_up_as_its_keys_are_one_by_one() {
    let numbers: Vec<u8> = (0..200).rev().collect();
    let keys = EncodedKeys {
        bytes: numbers.clone(),
        ends: (1..=numbers.len()).collect(),
        hashes: numbers
            .iter()
            .map(|number| hash_in(&[*number], key_group(*number), KEY_GROUPS))
            .collect(),
    };
    let mut table = spilling();
    let (mut ids, mut new) = (Vec::new(), Vec::new());
    let odd = (0..numbers.len()).filter(|row| numbers[*row] % 2 == 1);
    for round in 0..2 {
        let on_new = |id| new.push(id);
        table
            .upsert_some((&keys, odd.clone()), 0, &mut ids, on_new)
            .unwrap();
        for (row, id) in odd.clone().zip(&ids) {
            let value = &mut table.values_mut().0[*id as usize];
            assert_eq!(*value, round * i64::from(numbers[row]));
            *value += i64::from(numbers[row]);
        }
        // Each was new once, in the order of its row.
        assert_eq!(new, (0..100).collect::<Vec<u32>>());
        table.freeze();
        while !table.write_frozen(7).unwrap() {}
        table.shrink(0).unwrap();
    }
    // Each key is twice in the batch: it is fetched once.
    let mut ids = Vec::new();
    let rows = (0..numbers.len()).chain(0..numbers.len());
    table.find_all((&keys, rows), 0, &mut ids).unwrap();
    assert_eq!(ids[..numbers.len()], ids[numbers.len()..]);
    assert_eq!(table.keys(), 100);
    for (number, id) in numbers.iter().zip(&ids) {
        let found = table.find_in(&[*number], key_group(*number), 0).unwrap();
        assert_eq!(found.unwrap_or(crate::state::NOT_HELD), *id);
        let value = found.map(|id| table.values().0[id as usize]);
        let expected = (number % 2 == 1).then_some(2 * i64::from(*number));
        assert_eq!(value, expected);
    }
}

#[test]
fn a_namespace_that_is_opened_has_nothing_of_one_that_was_dropped() {
    let make = || Box::new(|| Ok(Numbers::default()));
    let mut slices = Slices::new(2, StateConfig::in_memory("test", KEY_GROUPS), make());
    let keys = |numbers: std::ops::Range<u8>| EncodedKeys {
        bytes: numbers.clone().collect(),
        ends: (1..=numbers.len()).collect(),
        hashes: numbers
            .map(|number| hash_in(&[number], key_group(number), KEY_GROUPS))
            .collect(),
    };
    let mut ids = Vec::new();
    let values = slices.upsert(10, &keys(0..100), &mut ids).unwrap();
    values.0.fill(7);
    slices.drop_slice(10).unwrap();
    let held_bytes = slices.memory_bytes();
    assert!(held_bytes > 0);
    let values = slices.upsert(20, &keys(90..110), &mut ids).unwrap();
    assert_eq!(ids, (0..20).collect::<Vec<u32>>());
    assert!(ids.iter().all(|id| values.0[*id as usize] == 0));
    assert_eq!(slices.memory_bytes(), held_bytes);
    slices.freeze();
    while !slices.write_frozen(3).unwrap() {}
    let mut deltas = Deltas::default();
    slices.take_snapshot(&mut deltas);
    let mut stored = Vec::new();
    for delta in deltas.into_groups() {
        let mut input = Reader::new(&delta.entries);
        while let Some(entry) = Entry::read(&mut input).unwrap() {
            let Entry::Put { place, key, .. } = entry else {
                panic!("nothing else was in a checkpoint");
            };
            stored.push((place.namespace, key[0]));
        }
    }
    stored.sort_unstable();
    let expected: Vec<(i64, u8)> = (90..110).map(|key| (20, key)).collect();
    assert_eq!(stored, expected);
    // Far fewer keys than there were are not worth the memory of those.
    slices.upsert(30, &keys(0..1), &mut ids).unwrap();
    slices.drop_slice(20).unwrap();
    slices.drop_slice(30).unwrap();
    assert_eq!((slices.keys(), slices.first()), (0, None));
}

#[test]
fn a_dropped_namespace_is_in_the_snapshot_of_its_barrier_and_gone_from_the_next() {
    let make = || Box::new(|| Ok(Numbers::default()));
    let mut slices = Slices::new(2, StateConfig::in_memory("test", 128), make());
    let keys = |bytes: &[u8]| EncodedKeys {
        bytes: bytes.to_vec(),
        ends: (1..=bytes.len()).collect(),
        hashes: bytes
            .iter()
            .map(|byte| hash_in(&[*byte], u32::from(*byte) % 128, 128))
            .collect(),
    };
    let mut ids = Vec::new();
    slices.upsert(10, &keys(b"abc"), &mut ids).unwrap();
    slices.upsert(20, &keys(b"a"), &mut ids).unwrap();
    slices.freeze();
    slices.drop_slice(10).unwrap();
    assert!(!slices.write_frozen(2).unwrap());
    assert!(slices.write_frozen(2).unwrap());
    let mut restored = Slices::new(2, StateConfig::in_memory("test", 128), make());
    let mut take_over = |slices: &mut Slices<Numbers>| {
        let mut deltas = Deltas::default();
        slices.take_snapshot(&mut deltas);
        for delta in deltas.into_groups() {
            let mut input = Reader::new(&delta.entries);
            while let Some(entry) = Entry::read(&mut input).unwrap() {
                restored.load(delta.key_group, &entry).unwrap();
            }
        }
        (restored.keys(), restored.first())
    };
    assert_eq!(take_over(&mut slices), (4, Some(10)));
    slices.freeze();
    assert!(slices.write_frozen(10).unwrap());
    assert_eq!(take_over(&mut slices), (1, Some(20)));
}

#[test]
fn a_table_past_its_memory_spills_to_disk_and_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = StateConfig {
        spill: Some(FjallSpace::new(dir.path().join("spill"), 1 << 20)),
        ..StateConfig::in_memory("test", KEY_GROUPS)
    };
    let limit_bytes = 1 << 20;
    let mut table = KeyedTable::new(0, Numbers::default(), config);
    let add = |table: &mut KeyedTable<Numbers>, keys: std::ops::Range<u32>| {
        for key in keys {
            if key % 512 == 0 {
                // A checkpoint takes what has changed since the last one out of memory.
                table.freeze();
                while !table.write_frozen(usize::MAX).unwrap() {}
                table.take_snapshot(&mut Deltas::default());
                table.make_room().unwrap();
                table.shrink(limit_bytes).unwrap();
            }
            let (id, _) = table
                .upsert_in(&key.to_be_bytes(), key % KEY_GROUPS, 0)
                .unwrap();
            table.values_mut().0[id as usize] += i64::from(key);
        }
        assert!(table.memory_bytes() <= limit_bytes + limit_bytes / 4);
    };
    add(&mut table, 0..60_000);
    add(&mut table, 0..60_000);
    assert_eq!(table.keys(), 60_000);
    assert!(table.keyed.held() < 40_000, "nothing was spilled");
    let mut sum = 0;
    let mut count = 0;
    table
        .export(&mut |_, entry| {
            if let Entry::Put { value, place, .. } = entry {
                assert_eq!(
                    *place,
                    Place {
                        table: 0,
                        namespace: 0
                    }
                );
                sum += Reader::new(value).i64()?;
                count += 1;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((count, sum), (60_000, 2 * (0..60_000i64).sum::<i64>()));
}
