//! The rows of a batch by key.
//!
//! Place in the flow: operators that compare what a key has before and after a batch look at its rows together. Invariant: keys come in
//! the order of their first rows, and the rows of a key in theirs.

use hashbrown::HashTable;

use crate::state::EncodedKeys;

/// The rows of a batch by key; kept from batch to batch for its memory.
#[derive(Debug, Default)]
pub struct Grouped {
    /// Numbers of keys.
    numbers: HashTable<u32>,
    /// For each key its first row.
    firsts: Vec<u32>,
    /// For each row the number of its key.
    of_rows: Vec<u32>,
    /// For each key where its rows end.
    ends: Vec<usize>,
    /// Rows by key.
    rows: Vec<u32>,
}

impl Grouped {
    /// Puts the rows of a batch together.
    pub fn group(&mut self, keys: &EncodedKeys) {
        self.numbers.clear();
        self.firsts.clear();
        self.of_rows.clear();
        self.ends.clear();
        for (row, hash) in (0u32..).zip(&keys.hashes) {
            let key = keys.key(row as usize);
            let firsts = &self.firsts;
            let is_same = |number: &u32| keys.key(firsts[*number as usize] as usize) == key;
            let found = self.numbers.find(*hash, is_same).copied();
            let number = found.unwrap_or_else(|| {
                let number = u32::try_from(self.firsts.len()).unwrap_or(u32::MAX);
                let hash_of = |number: &u32| keys.hashes[firsts[*number as usize] as usize];
                self.numbers.insert_unique(*hash, number, hash_of);
                number
            });
            if found.is_none() {
                self.firsts.push(row);
                self.ends.push(0);
            }
            self.ends[number as usize] += 1;
            self.of_rows.push(number);
        }
        self.place();
    }

    /// Puts rows where they belong once it is known how many each key has.
    fn place(&mut self) {
        // Where the next row of each key goes, which is in the end where its rows end.
        let mut start = 0;
        for end in &mut self.ends {
            start += std::mem::replace(end, start);
        }
        self.rows.clear();
        self.rows.resize(self.of_rows.len(), 0);
        for (row, number) in (0u32..).zip(&self.of_rows) {
            let place = &mut self.ends[*number as usize];
            self.rows[*place] = row;
            *place += 1;
        }
    }

    /// Leaves out the rows that do not stay; keys may be left without rows.
    pub fn retain(&mut self, stays: &[bool]) {
        let (mut start, mut kept) = (0, 0);
        for end in &mut self.ends {
            for place in start..*end {
                let row = self.rows[place];
                if stays[row as usize] {
                    self.rows[kept] = row;
                    kept += 1;
                }
            }
            start = std::mem::replace(end, kept);
        }
        self.rows.truncate(kept);
    }

    /// Keys.
    pub fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// The rows of a key.
    pub fn rows(&self, number: usize) -> &[u32] {
        let start = match number {
            0 => 0,
            number => self.ends[number - 1],
        };
        &self.rows[start..self.ends[number]]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::state::KeyCodec;
    use crate::types::TypeKind;

    #[test]
    fn rows_of_a_key_are_together_in_the_order_in_which_they_came() {
        let mut grouped = Grouped::default();
        let codec = KeyCodec::new([&TypeKind::BigInt.nullable()]).unwrap();
        for values in [vec![3_i64, 1, 3, 2, 1, 3], vec![], vec![7]] {
            let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
            grouped.group(&codec.encode(&[&column], values.len()).unwrap());
            let found: Vec<Vec<u32>> = (0..grouped.len())
                .map(|number| grouped.rows(number).to_vec())
                .collect();
            let expected: Vec<Vec<u32>> = match values.len() {
                6 => vec![vec![0, 2, 5], vec![1, 4], vec![3]],
                1 => vec![vec![0]],
                _ => Vec::new(),
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn rows_that_do_not_stay_are_left_out() {
        let mut grouped = Grouped::default();
        let codec = KeyCodec::new([&TypeKind::BigInt.nullable()]).unwrap();
        let column: ArrayRef = Arc::new(Int64Array::from(vec![3_i64, 1, 3, 2, 1, 3]));
        grouped.group(&codec.encode(&[&column], 6).unwrap());
        grouped.retain(&[false, false, true, true, false, true]);
        let found: Vec<&[u32]> = (0..grouped.len()).map(|key| grouped.rows(key)).collect();
        assert_eq!(found, [&[2, 5][..], &[], &[3]]);
    }
}
